/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a snapshot to a file that replaces its target, or in frames to a pipe. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/crc.h"
#include "snapshot/format.h"
#include "snapshot/output.h"

static int
fail_write(const struct output *output, const char *doing)
{
	const struct file_replacement named = { .what = "snapshot", .path = output->path };

	return file_replace_fail(&named, doing);
}

int
output_left(const struct output *output)
{
	switch (output->cancelled ? atomic_load(output->cancelled) : OUTPUT_GOES_ON) {
	case OUTPUT_CANCELLED:
		return fail(STATUS_IO, "cannot write snapshot %s: it was cancelled", output->path);
	case OUTPUT_MACHINE_ENDED:
		return fail(STATUS_IO,
			    "cannot write snapshot %s: the machine ended before it was whole",
			    output->path);
	default:
		return 0;
	}
}

int
output_open(struct output *output, const char *path)
{
	int failed;

	*output = (struct output){ .path = strdup(path), .fd = -1, .file = { .fd = -1 } };
	if (!output->path)
		return fail(STATUS_HOST, "cannot write snapshot %s: no memory", path);
	failed = file_replace(&output->file, "snapshot", path);
	output->fd = output->file.fd;
	return failed;
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
	int own = -1;

	if (fstat(output->fd, &status))
		status.st_mode = 0;
	output->socket = S_ISSOCK(status.st_mode);
	if (output->socket)
		return;
	if (S_ISFIFO(status.st_mode))
		own = file_reopen(output->fd);
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
		return fail(STATUS_HOST, "cannot write snapshot %s: no memory", name);
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

int
output_commit(struct output *output)
{
	int failed;

	if (output->stream)
		return send_frame(output, "", 0, output->size);
	failed = file_replace_commit(&output->file);
	output->done = output->file.done;
	return failed;
}

void
output_close(struct output *output)
{
	if (output->stream && output->flags >= 0)
		fcntl(output->fd, F_SETFL, output->flags);
	if (output->stream && output->fd >= 0)
		close(output->fd);
	if (!output->stream)
		file_replace_end(&output->file);
	free(output->frame);
	free(output->path);
	*output = (struct output){ .fd = -1, .file = { .fd = -1 } };
}
