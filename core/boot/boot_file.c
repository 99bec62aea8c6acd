/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens and reads the files that are loaded into guest memory. */
#include "boot/boot_file.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/nearby.h"
#include "boot/boot.h"

/* The key [boot] modules contains several modules. */
static const char *
boot_where(const struct config *config, const char *what, char *buffer, size_t size)
{
	return config_boot_where(config, strcmp(what, "module") ? what : "modules", buffer, size);
}

int
boot_file_missing(const struct config *config, const char *name, const char *what)
{
	int error = errno;
	char where[256];

	return fail(status_for(error, STATUS_USAGE), "%s: opening the %s %s: %s%s",
		    boot_where(config, what, where, sizeof(where)), what, name,
		    limit_error(error).text,
		    nearby(name, error, "; build it or correct the path").text);
}

int
boot_file_open(struct boot_file *file, const char *name, const char *what,
	       const struct config *config)
{
	char where[256];
	struct stat st;
	int r = 0;

	*file = (struct boot_file){ .name = name, .what = what };
	file->fd = file_open(name, FILE_READ); /* nonblocking: it may be a pipe */
	if (file->fd < 0)
		return boot_file_missing(config, name, what);
	boot_where(config, what, where, sizeof(where));
	if (fstat(file->fd, &st))
		r = fail(STATUS_IO, "%s: %s %s: %s", where, what, name, limit_error(errno).text);
	else if (!S_ISREG(st.st_mode))
		r = fail(STATUS_USAGE, "%s: %s %s is %s, not a file", where, what, name,
			 S_ISDIR(st.st_mode) ? "a directory" : "a device, pipe or socket");
	else
		file->length = (uint64_t)st.st_size;
	if (r)
		boot_file_close(file);
	return r;
}

void
boot_file_close(struct boot_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	file->fd = -1;
}

int
boot_file_read(const struct boot_file *file, uint64_t offset, void *to, uint64_t length)
{
	uint8_t *bytes = to;

	for (uint64_t done = 0; done < length;) {
		ssize_t n = pread(file->fd, bytes + done, length - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(STATUS_IO, "reading the %s %s: %s", file->what, file->name,
				    limit_error(errno).text);
		if (n == 0)
			return fail(STATUS_IO,
				    "reading the %s %s: it ended after %llu of %llu bytes; wait "
				    "until it is written completely",
				    file->what, file->name, (unsigned long long)offset + done,
				    (unsigned long long)offset + length);
		done += (uint64_t)n;
	}
	return 0;
}
