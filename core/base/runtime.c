/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds and creates the directory of the user's machines. */
#include "base/runtime.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_LENGTH 64

/* Whoever can write there can pass for a machine, and gets the commands for it. */
static int
check_owner(const char *path, struct why *why)
{
	struct stat st;

	if (stat(path, &st))
		return 0; /* whoever uses it sees why */
	if (st.st_uid != geteuid() && st.st_uid && geteuid())
		return why_set(why,
			       "%s belongs to another user; set XDG_RUNTIME_DIR to a "
			       "directory of yours",
			       path);
	if (S_ISDIR(st.st_mode) && st.st_mode & 022)
		return why_set(why, "others can write to %s: use chmod 700", path);
	return 0;
}

int
runtime_folder(char *path, size_t size, struct why *why)
{
	const char *base = getenv("XDG_RUNTIME_DIR");

	if ((!base || *base != '/') && !geteuid())
		base = "/run";
	if (!base || *base != '/')
		return why_set(why, "XDG_RUNTIME_DIR is not set; set it, or give the path of the "
				    "socket");
	if ((size_t)snprintf(path, size, "%s/minivmm", base) >= size)
		return why_set(why, "XDG_RUNTIME_DIR is too long");
	return check_owner(path, why);
}

int
runtime_socket(const char *name, char *path, size_t size, struct why *why)
{
	size_t length;

	if (!*name || *name == '.' || strchr(name, '/') || strlen(name) > NAME_MAX_LENGTH)
		return why_set(why, "a name has 1 to %d characters, no '/' and no '.' in front",
			       NAME_MAX_LENGTH);
	if (runtime_folder(path, size, why))
		return -1;
	length = strlen(path);
	if ((size_t)snprintf(path + length, size - length, "/%s", name) >= size - length)
		return why_set(why, "XDG_RUNTIME_DIR is too long");
	return 0;
}

int
runtime_create(struct why *why)
{
	char path[4096];

	if (runtime_folder(path, sizeof(path), why))
		return -1;
	if (!mkdir(path, 0700) || errno == EEXIST)
		return 0;
	return why_errno(why, errno, "creating %s", path);
}
