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
#include "base/socket.h"
#include "snapshot/crc.h"
#include "snapshot/format.h"
#include "snapshot/output.h"

static int
fail_write(const struct output *output, const char *operation)
{
	const struct file_replacement named = { .what = "snapshot", .path = output->path };

	return file_replace_fail(&named, operation);
}

int
output_check_cancel(const struct output *output)
{
	int reason = output->cancelled ? atomic_load(output->cancelled) : OUTPUT_NOT_CANCELLED;

	if (output->poll && output->poll(output->context))
		reason = OUTPUT_CANCELLED;
	switch (reason) {
	case OUTPUT_CANCELLED:
		return fail(STATUS_IO, "cannot write snapshot %s: it was cancelled", output->path);
	case OUTPUT_MACHINE_ENDED:
		return fail(STATUS_IO,
			    "cannot write snapshot %s: the machine ended before it was complete",
			    output->path);
	default:
		return 0;
	}
}

int
output_check(const char *path)
{
	return file_replace_check("snapshot", path, SNAPSHOT_MAGIC);
}

int
output_open(struct output *output, const char *path)
{
	int failed;

	*output = (struct output){ .path = strdup(path), .fd = -1, .file = { .fd = -1 } };
	if (!output->path)
		return fail_memory("writing snapshot %s", path);
	failed = file_replace(&output->file, "snapshot", path, 0600, SNAPSHOT_MAGIC);
	output->fd = output->file.fd;
	return failed;
}

/* Sends all bytes to a stream. Waits for its reader, and checks for cancellation meanwhile. */
static int
send_all(struct output *output, const void *from, size_t length)
{
	const uint8_t *bytes = from;

	while (length) {
		ssize_t n = output->socket ? send(output->fd, bytes, length, MSG_DONTWAIT)
					   : write(output->fd, bytes, length);
		struct pollfd room = { .fd = output->fd, .events = POLLOUT };

		if (n < 0 && errno == EAGAIN) {
			int cancelled = output_check_cancel(output);

			if (cancelled)
				return cancelled;
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

/* Sends a copy: the guest may write the page meanwhile, and its checksum is sent first. */
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

/* Called by the first write: when the stream is opened, the main thread must not wait. */
static int
start_stream(struct output *output)
{
	int failed = send_all(output, STREAM_MAGIC, 8);

	output->stream_started = true;
	return failed ? failed : send_frame(output, "", 0, output->size_max);
}

/*
 * Makes writes non-blocking. The open file description is shared with the process that passed the
 * descriptor: O_NONBLOCK would change its writes too, and it could clear the flag. So a socket uses
 * MSG_DONTWAIT, and a pipe is opened again by /proc. Without /proc, or for another kind of file,
 * the flag is set, and restored by output_close.
 */
static void
set_nonblocking(struct output *output, int flags)
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
		return fail_memory("writing snapshot %s", name);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY) {
		errno = flags < 0 ? errno : EBADF;
		return fail_write(output, "it is not writable");
	}
	if (isatty(fd)) /* the bytes of a guest would control it */
		return fail(STATUS_USAGE,
			    "cannot write snapshot %s: it is a terminal; redirect it to a file or "
			    "pipe",
			    name);
	set_nonblocking(output, flags);
	return 0;
}

int
output_open_file(struct output *output, int fd, const char *name)
{
	*output = (struct output){
		.path = strdup(name), .fd = fd, .open_file = true, .file = { .fd = -1 }
	};
	return output->path ? 0 : fail_memory("writing snapshot %s", name);
}

int
output_write(struct output *output, const void *from, size_t length, uint64_t offset)
{
	const uint8_t *bytes = from;
	int failed = output->stream && !output->stream_started ? start_stream(output) : 0;

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
	output->size_max = size + SNAPSHOT_META_MAX;
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
	if (output->open_file)
		return 0;
	failed = file_replace_commit(&output->file);
	output->done = output->file.done;
	return failed;
}

void
output_discard(struct output *output)
{
	if (output->stream || output->open_file)
		return;
	file_replace_discard(&output->file);
	output->fd = -1;
}

void
output_close(struct output *output)
{
	if (output->stream && output->flags >= 0)
		fcntl(output->fd, F_SETFL, output->flags);
	if (output->stream && output->fd >= 0)
		socket_close_passed(output->fd);
	if (!output->stream && !output->open_file)
		file_replace_end(&output->file);
	free(output->frame);
	free(output->path);
	*output = (struct output){ .fd = -1, .file = { .fd = -1 } };
}
