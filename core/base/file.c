/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that the command line names for us to write. */
#include "base/file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

int
open_descriptor(const char *path)
{
	static const char *const names[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };

	for (int fd = 0; fd <= 2; fd++)
		if (!strcmp(path, names[fd]))
			return fd;
	for (int i = 0; i < 2; i++) {
		size_t length = strlen(folders[i]), digits;
		int fd = 0;

		if (strncmp(path, folders[i], length))
			continue;
		path += length;
		digits = strspn(path, "0123456789");
		if (!digits || digits > 6 || path[digits])
			return -1;
		while (*path)
			fd = 10 * fd + *path++ - '0';
		return fd;
	}
	return -1;
}

FILE *
open_to_write(const char *path)
{
	int fd = open_descriptor(path);
	FILE *file;

	if (fd < 0)
		return fopen(path, "we");
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (fd >= 0 && !file)
		close(fd);
	return file;
}
