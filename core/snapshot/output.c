/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a file under a temporary name beside its target and puts it into the target's place; or
 * frames to a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/crc.h"
#include "snapshot/format.h"
#include "snapshot/output.h"

static int
fail_write(const struct output *output, const char *what)
{
	return fail(status_for(errno, STATUS_IO), "can't write snapshot %s: %s: %s%s", output->path,
		    what, strerror(errno),
		    errno == ENOSPC || errno == EDQUOT ? "; make room there" : "");
}

int
output_left(const struct output *output)
{
	switch (output->cancelled ? atomic_load(output->cancelled) : OUTPUT_GOES_ON) {
	case OUTPUT_CANCELLED:
		return fail(STATUS_IO, "can't write snapshot %s: it was cancelled", output->path);
	case OUTPUT_MACHINE_ENDED:
		return fail(STATUS_IO,
			    "can't write snapshot %s: the machine ended before it was whole",
			    output->path);
	default:
		return 0;
	}
}

/* A target that exists must be a file that may be written: a rename would replace anything. */
static int
check_target(struct output *output)
{
	struct stat status;

	output->fresh = stat(output->target, &status) && errno == ENOENT;
	if (output->fresh)
		return 0;
	if (stat(output->target, &status))
		return fail_write(output, "looking at it");
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

#define LINKS_MAX 40 /* of links to links, as in the kernel */

/* What a link of this path says, from where the path begins; malloced. NULL: it is none. */
static char *
follow_link(const char *path)
{
	const char *slash = strrchr(path, '/');
	char link[PATH_MAX], *to;
	ssize_t length = readlink(path, link, sizeof(link) - 1);

	if (length < 0)
		return NULL;
	link[length] = '\0';
	if (link[0] == '/' || !slash)
		return strdup(link);
	return asprintf(&to, "%.*s%s", (int)(slash - path + 1), path, link) < 0 ? NULL : to;
}

/* Where a path leads: also by links to what is not there yet. Malloced, or NULL. */
static char *
follow(const char *path)
{
	char *target = realpath(path, NULL), *next;

	if (target || errno != ENOENT)
		return target ? target : strdup(path);
	target = strdup(path);
	for (int links = 0; target && links < LINKS_MAX && (next = follow_link(target)); links++) {
		free(target);
		target = next;
	}
	return target;
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

	output->target = follow(output->path);
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

/*
 * A file without a name, where the file system has that: a process that is killed leaves nothing.
 * Its temporary name comes at the end, since a link can't replace a file and a rename can.
 */
static int
open_unnamed(struct output *output)
{
	errno = EOPNOTSUPP;
	if (!access("/proc/self/fd", X_OK)) /* by which it gets its name */
		output->fd = open(output->folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
	return output->fd < 0 ? -1 : 0;
}

/* The path by which a descriptor of ours can be opened anew; buffer of 32. */
static const char *
self_path(int fd, char *buffer)
{
	snprintf(buffer, 32, "/proc/self/fd/%d", fd);
	return buffer;
}

static int
give_name(struct output *output, const char *temporary)
{
	char self[32];

	return linkat(AT_FDCWD, self_path(output->fd, self), AT_FDCWD, temporary,
		      AT_SYMLINK_FOLLOW);
}

int
output_open(struct output *output, const char *path)
{
	char *temporary;
	int failed;

	*output = (struct output){ .path = strdup(path), .fd = -1 };
	if (!output->path)
		return fail(STATUS_HOST, "can't write snapshot %s: no memory", path);
	errno = 0;
	temporary = name_files(output);
	failed = temporary ? check_target(output) : errno == ENOMEM ? -STATUS_HOST : -STATUS_IO;
	/* Not mkstemp: the kernel applies the umask, which can't be read without a race. */
	output->temporary = temporary;
	if (failed || !open_unnamed(output))
		return failed;
	/* What a file system or kernel without such files answers. */
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return fail_write(output, "making a file in its folder");
	output->fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	output->named = output->fd >= 0;
	return output->named ? 0 : fail_write(output, "making a file in its folder");
}

/* All of it to a pipe, waiting for its reader. */
static int
send_all(struct output *output, const void *from, size_t length)
{
	const uint8_t *bytes = from;

	while (length) {
		ssize_t n = output->socket ? send(output->fd, bytes, length, MSG_DONTWAIT)
					   : write(output->fd, bytes, length);
		struct pollfd room = { .fd = output->fd, .events = POLLOUT };

		if (n < 0 && errno == EAGAIN) {
			int left = output_left(output);

			if (left)
				return left;
			poll(&room, 1, 100);
		} else if (n < 0 && errno != EINTR)
			return fail_write(output, "writing");
		else if (n > 0) {
			bytes += n;
			length -= (size_t)n;
		}
	}
	return 0;
}

/* From a copy: the guest may write what we send, and its checksum goes before it. */
static int
send_frame(struct output *output, const void *from, size_t length, uint64_t offset)
{
	struct stream_frame frame = { .offset = offset, .length = (uint32_t)length };
	uint8_t *bytes = output->frame + sizeof(frame);

	memcpy(bytes, from, length);
	frame.checksum = crc32c(crc32c(0, &frame, sizeof(frame)), bytes, length);
	memcpy(output->frame, &frame, sizeof(frame));
	if (length && offset + length > output->size)
		output->size = offset + length;
	return send_all(output, output->frame, sizeof(frame) + length);
}

/* Not when it is opened, where nobody may wait for a reader. */
static int
begin_stream(struct output *output)
{
	int failed = send_all(output, STREAM_MAGIC, 8);

	output->begun = true;
	return failed ? failed : send_frame(output, "", 0, output->most);
}

/*
 * No write may block. The description is shared with who gave it to us: he would find his own
 * writes not blocking, and could let ours block again. So a socket is told at each send, and a pipe
 * is opened anew. What can't be (no /proc) is changed for all who share it.
 */
static void
never_block(struct output *output, int flags)
{
	struct stat status;
	char self[32];
	int own = -1;

	if (fstat(output->fd, &status))
		status.st_mode = 0;
	output->socket = S_ISSOCK(status.st_mode);
	if (output->socket)
		return;
	if (S_ISFIFO(status.st_mode))
		own = open(self_path(output->fd, self), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
	if (own >= 0) {
		close(output->fd);
		output->fd = own;
		return;
	}
	output->flags = flags;
	fcntl(output->fd, F_SETFL, flags | O_NONBLOCK);
}

int
output_open_fd(struct output *output, int fd, const char *name)
{
	int flags = fcntl(fd, F_GETFL);

	*output = (struct output){ .path = strdup(name), .fd = fd, .stream = true, .flags = -1 };
	output->frame = malloc(sizeof(struct stream_frame) + STREAM_FRAME_MAX);
	if (!output->path || !output->frame)
		return fail(STATUS_HOST, "can't write snapshot %s: no memory", name);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
		errno = flags < 0 ? errno : EBADF;
		return fail_write(output, "it can't be written to");
	}
	never_block(output, flags);
	return 0;
}

int
output_write(struct output *output, const void *from, size_t length, uint64_t offset)
{
	const uint8_t *bytes = from;
	int failed = output->stream && !output->begun ? begin_stream(output) : 0;

	while (output->stream && length && !failed) {
		size_t part = length < STREAM_FRAME_MAX ? length : STREAM_FRAME_MAX;

		failed = send_frame(output, bytes, part, offset);
		bytes += part;
		offset += part;
		length -= part;
	}
	while (length && !failed) {
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
	return failed;
}

int
output_zero(struct output *output, size_t length, uint64_t offset)
{
	static const uint8_t zeros[PAGE_SIZE];
	int failed = 0;

	if (!output->stream && !fallocate(output->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
					  (off_t)offset, (off_t)length))
		return 0;
	for (size_t at = 0; at < length && !failed; at += PAGE_SIZE)
		failed = output_write(output, zeros, PAGE_SIZE, offset + at);
	return failed;
}

int
output_resize(struct output *output, uint64_t size)
{
	output->most = size + SNAPSHOT_META_MAX;
	if (output->stream)
		return 0;
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
	struct stat status;

	if (output->stream)
		return send_frame(output, "", 0, output->size);
	/* Like the overlay that a disk goes on in. */
	if (output->fresh && !lstat(output->target, &status))
		return fail(
		    STATUS_IO,
		    "can't write snapshot %s: a file of that name has come since it was begun; "
		    "name another",
		    output->path);
	if (fsync(fd))
		return fail_write(output, "syncing");
	if (!output->named && give_name(output, output->temporary))
		return fail_write(output, "naming it");
	output->named = true;
	output->fd = -1;
	if (close(fd))
		return fail_write(output, "closing");
	if (rename(output->temporary, output->target))
		return fail_write(output, "renaming");
	output->named = false;
	output->done = true;
	return sync_folder(output);
}

void
output_close(struct output *output)
{
	if (output->stream && output->flags >= 0)
		fcntl(output->fd, F_SETFL, output->flags);
	if (output->fd >= 0)
		close(output->fd);
	if (output->named)
		unlink(output->temporary);
	free(output->frame);
	free(output->temporary);
	free(output->folder);
	free(output->target);
	free(output->path);
	*output = (struct output){ .fd = -1 };
}
