/* SPDX-License-Identifier: BSD-2-Clause */
/* Remedies for a file that cannot be opened. */
#include "base/nearby.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/escape.h"

#define NAMES_MAX 10000 /* names of a directory to look at */

struct hint
nearby(const char *path, int error, const char *otherwise)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char folder[512] = ".", best[256] = "", meant[sizeof(folder) + sizeof(best)];
	const struct dirent *entry;
	DIR *names = NULL;

	if (error != ENOENT)
		return did_you_mean(NULL, error == EACCES ? "; check its permissions" : "");
	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path),
			 path);
	if (strlen(name) < sizeof(best) && strlen(folder) < sizeof(folder) - 1)
		names = opendir(folder);
	for (int i = 0; names && i < NAMES_MAX && (entry = readdir(names)); i++) {
		/* Which of the two is nearer: the best one so far, or this one? */
		const char *pair[] = { *best ? best : entry->d_name, entry->d_name, NULL };
		/* What is in the name must not run, if it is copied to a command line. */
		bool good = *entry->d_name != '.' && text_is_word(entry->d_name);
		const char *near = good ? nearest(name, pair) : NULL;

		if (near == entry->d_name)
			snprintf(best, sizeof(best), "%s", near);
	}
	if (names)
		closedir(names);
	snprintf(meant, sizeof(meant), "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, best);
	return did_you_mean(*best && text_is_word(meant) ? meant : NULL, otherwise);
}
