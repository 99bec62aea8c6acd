/* SPDX-License-Identifier: BSD-2-Clause */
/* Names in open directories. */
#include "base/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
place_open(struct place *place, const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	char *directory = slash ? strndup(path, (size_t)(name - path)) : strdup(".");

	*place = (struct place){ .directory = -1 };
	if (!*name) {
		errno = slash ? EISDIR : ENOENT;
	} else if (directory && (place->name = strdup(name))) {
		place->directory = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
	} else {
		errno = ENOMEM;
	}
	free(directory);
	if (place->directory >= 0)
		return 0;
	free(place->name);
	place->name = NULL;
	return -1;
}

int
place_beside(struct place *place, const struct place *other, const char *suffix)
{
	*place = (struct place){ .directory = fcntl(other->directory, F_DUPFD_CLOEXEC, 0) };
	if (place->directory < 0)
		return -1;
	if (asprintf(&place->name, "%s%s", other->name, suffix) >= 0)
		return 0;
	close(place->directory);
	*place = (struct place){ .directory = -1 };
	errno = ENOMEM;
	return -1;
}

void
place_close(struct place *place)
{
	int error = errno;

	if (place->name)
		close(place->directory);
	free(place->name);
	*place = (struct place){ .directory = -1 };
	errno = error;
}

int
place_open_file(const struct place *place, int flags, mode_t mode)
{
	return openat(place->directory, place->name, flags | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC,
		      mode);
}

int
place_stat(const struct place *place, struct stat *st)
{
	return fstatat(place->directory, place->name, st, AT_SYMLINK_NOFOLLOW);
}

bool
place_names(const struct place *place, const struct stat *st)
{
	struct stat now;

	return !place_stat(place, &now) && now.st_dev == st->st_dev && now.st_ino == st->st_ino;
}

bool
place_is_trap(const struct place *place, const struct stat *st, bool in_place)
{
	struct stat directory;

	if ((!S_ISREG(st->st_mode) && !S_ISFIFO(st->st_mode)) ||
	    fstat(place->directory, &directory) || !(directory.st_mode & S_ISVTX) ||
	    !(directory.st_mode & (S_IWGRP | S_IWOTH)))
		return false;
	if (in_place && S_ISREG(st->st_mode) && st->st_nlink > 1)
		return true;
	/* rename(2) does not replace the file of the directory's owner, either. */
	return st->st_uid != geteuid() && !(in_place && st->st_uid == directory.st_uid);
}
