/* SPDX-License-Identifier: BSD-2-Clause */
/* What a file contains that an output would overwrite. */
#include "base/file_content.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/magic.h"

/* Reads the beginning of a regular file. Returns its length; 0 if it is empty or unreadable. */
static size_t
read_head(const struct place *place, const struct stat *st, void *head, size_t size)
{
	int error = errno, fd;
	ssize_t n = 0;

	if (!S_ISREG(st->st_mode) || !st->st_size)
		return 0;
	fd = place_open_file(place, O_RDONLY | O_NONBLOCK, 0);
	if (fd >= 0) {
		n = pread(fd, head, size, 0);
		close(fd);
	}
	errno = error;
	return n > 0 ? (size_t)n : 0;
}

const char *
file_content(const struct place *place, const struct stat *st, bool text)
{
	uint8_t head[MAGIC_HEAD];
	size_t length = read_head(place, st, head, sizeof(head));
	const struct magic *m = magic_find(MAGIC_OUTPUT, head, length);

	if (m)
		return m->name;
	return text && memchr(head, 0, length) ? "a binary file" : NULL;
}

bool
file_content_begins(const struct place *place, const struct stat *st, const char *bytes)
{
	uint8_t head[16];
	size_t length = read_head(place, st, head, sizeof(head));

	return !length || (length >= strlen(bytes) && !memcmp(head, bytes, strlen(bytes)));
}
