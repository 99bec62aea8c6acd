/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a file under a temporary name beside its target and puts it into the target's place. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/output.h"

static int
fail_write(const struct output *output, const char *what)
{
	return fail(status_for(errno, STATUS_IO), "can't write snapshot %s: %s: %s%s", output->path,
		    what, strerror(errno),
		    errno == ENOSPC || errno == EDQUOT ? "; make room there" : "");
}

/* A target that exists must be a file that may be written: a rename would replace anything. */
static int
check_target(const struct output *output)
{
	struct stat status;

	if (stat(output->target, &status))
		return errno == ENOENT ? 0 : fail_write(output, "looking at it");
	if (S_ISDIR(status.st_mode))
		return fail(STATUS_IO, "can't write snapshot %s: it is a directory: name a file",
			    output->path);
	if (!S_ISREG(status.st_mode))
		return fail(STATUS_IO, "can't write snapshot %s: it exists and is no regular file",
			    output->path);
	if (faccessat(AT_FDCWD, output->target, W_OK, AT_EACCESS))
		return fail_write(output, "it exists");
	return 0;
}

/*
 * Finds out target and folder; returns the temporary name, hidden and short enough for any name, or
 * NULL: said.
 */
static char *
name_files(struct output *output)
{
	const char *slash, *name;
	char *temporary = NULL;
	uint64_t random;

	output->target = realpath(output->path, NULL);
	if (!output->target)
		output->target = strdup(output->path);
	if (!output->target || getrandom(&random, sizeof(random), 0) != sizeof(random)) {
		fail_write(output, "naming it");
		return NULL;
	}
	slash = strrchr(output->target, '/');
	name = slash ? slash + 1 : output->target;
	if (!*name) {
		fail(STATUS_IO, "can't write snapshot %s: name a file", output->path);
		return NULL;
	}
	output->folder =
	    slash ? strndup(output->target, (size_t)(name - output->target)) : strdup("./");
	if (!output->folder || asprintf(&temporary, "%s.%.200s.%016llx", output->folder, name,
					(unsigned long long)random) < 0) {
		fail_write(output, "naming it");
		return NULL;
	}
	return temporary;
}

int
output_open(struct output *output, const char *path)
{
	char *temporary;
	int failed;

	memset(output, 0, sizeof(*output));
	output->path = path;
	output->fd = -1;
	errno = 0;
	temporary = name_files(output);
	failed = temporary ? check_target(output) : errno == ENOMEM ? -STATUS_HOST : -STATUS_IO;
	/* Not mkstemp: the kernel applies the umask, which can't be read without a race. */
	if (!failed) {
		output->fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (output->fd >= 0)
			output->temporary = temporary; /* ours to remove */
		else
			failed = fail_write(output, "making a file in its folder");
	}
	if (!output->temporary)
		free(temporary);
	return failed;
}

int
output_write(struct output *output, const void *from, size_t length, uint64_t offset)
{
	const uint8_t *bytes = from;

	while (length) {
		ssize_t n = pwrite(output->fd, bytes, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n ? errno : EIO;
			return fail_write(output, "writing");
		}
		bytes += n;
		offset += (size_t)n;
		length -= (size_t)n;
	}
	return 0;
}

int
output_resize(struct output *output, uint64_t size)
{
	return ftruncate(output->fd, (off_t)size) ? fail_write(output, "sizing") : 0;
}

/* A name in a folder is on the disk when the folder is. */
static int
sync_folder(const struct output *output)
{
	int fd = open(output->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = 0;

	if (fd < 0 && errno == EACCES)
		return 0; /* may be written but not read: nothing more can be done */
	/* EINVAL: the file system has no such thing. */
	if (fd < 0 || (fsync(fd) && errno != EINVAL))
		failed = fail(STATUS_IO,
			      "snapshot %s is written, but may be lost in a crash: syncing its "
			      "folder: %s",
			      output->path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return failed;
}

int
output_commit(struct output *output)
{
	int fd = output->fd;

	if (fsync(fd))
		return fail_write(output, "syncing");
	output->fd = -1;
	if (close(fd))
		return fail_write(output, "closing");
	if (rename(output->temporary, output->target))
		return fail_write(output, "renaming");
	free(output->temporary);
	output->temporary = NULL;
	return sync_folder(output);
}

void
output_close(struct output *output)
{
	if (output->fd >= 0)
		close(output->fd);
	if (output->temporary)
		unlink(output->temporary);
	free(output->temporary);
	free(output->folder);
	free(output->target);
	memset(output, 0, sizeof(*output));
	output->fd = -1;
}
