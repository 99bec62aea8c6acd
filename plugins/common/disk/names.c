/* SPDX-License-Identifier: BSD-2-Clause */
/* Free names for the overlays of snapshots. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"

/* Returns 1 if STEM.N exists, 0 if not; -1 with errno. */
static int
name_taken(const char *stem, uint32_t n)
{
	struct stat st;
	char *path;
	int r, error;

	if (asprintf(&path, "%s.%u", stem, n) < 0)
		return -1;
	r = lstat(path, &st);
	error = errno;
	free(path);
	errno = error;
	return !r ? 1 : error == ENOENT ? 0 : -1;
}

/* The machine is stopped, and earlier snapshots may have taken thousands of names: it doubles N,
 * and then halves the rest. */
int
disk_free_number(const char *stem, uint32_t *n)
{
	uint32_t below = 0, above = 1, middle;
	int r;

	while (above < DISK_NAMES && (r = name_taken(stem, above))) {
		if (r < 0)
			return -1;
		below = above;
		above = 2 * above < DISK_NAMES ? 2 * above : DISK_NAMES;
	}
	while (above - below > 1) {
		middle = below + (above - below) / 2;
		r = name_taken(stem, middle);
		if (r < 0)
			return -1;
		*(r ? &below : &above) = middle;
	}
	*n = above;
	return 0;
}

char *
disk_link_next(const char *stem, const struct disk_layer *layer)
{
	char self[32], *path;
	const char *link = layer->temporary_name ? layer->temporary_name : self;
	uint32_t n;
	int error;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", layer->fd);
	if (disk_free_number(stem, &n))
		return NULL;
	for (error = EEXIST; n < DISK_NAMES && error == EEXIST; n++) {
		if (asprintf(&path, "%s.%u", stem, n) < 0)
			return NULL;
		if (!linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW))
			return path;
		error = errno;
		free(path);
	}
	errno = error;
	return NULL;
}
