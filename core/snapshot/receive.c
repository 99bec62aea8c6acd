/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes a snapshot from a pipe: its frames make the file again, in memory of this process. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/crc.h"
#include "snapshot/reader.h"

/* Reads exactly length bytes, whether the descriptor blocks or not. Says what failed. */
static int
take(int fd, const char *name, void *to, size_t length)
{
	uint8_t *bytes = to;

	while (length) {
		ssize_t n = read(fd, bytes, length);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd ready = { .fd = fd, .events = POLLIN };

			poll(&ready, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(STATUS_IO, "can't read snapshot %s: %s", name, strerror(errno));
		if (!n)
			return fail(STATUS_SNAPSHOT,
				    "snapshot %s ends too early: was who sent it interrupted?",
				    name);
		bytes += n;
		length -= (size_t)n;
	}
	return 0;
}

static int
put(int file, const char *name, const uint8_t *bytes, size_t length, uint64_t offset)
{
	while (length) {
		ssize_t n = pwrite(file, bytes, length, (off_t)offset);

		if (n <= 0)
			return fail(STATUS_HOST, "can't keep snapshot %s: %s", name,
				    strerror(errno));
		bytes += n;
		offset += (size_t)n;
		length -= (size_t)n;
	}
	return 0;
}

/* One frame, whose bytes go to buffer. */
static int
take_frame(int fd, const char *name, struct stream_frame *frame, uint8_t *buffer)
{
	uint32_t checksum;
	uint64_t end;
	int failed = take(fd, name, frame, sizeof(*frame));

	if (failed)
		return failed;
	if (frame->length > STREAM_FRAME_MAX ||
	    __builtin_add_overflow(frame->offset, frame->length, &end) || end > INT64_MAX)
		return fail(STATUS_SNAPSHOT, "snapshot %s is damaged: a frame of %u bytes", name,
			    frame->length);
	failed = take(fd, name, buffer, frame->length);
	if (failed)
		return failed;
	checksum = frame->checksum;
	frame->checksum = 0;
	if (crc32c(crc32c(0, frame, sizeof(*frame)), buffer, frame->length) != checksum)
		return fail(STATUS_SNAPSHOT,
			    "snapshot %s is damaged: a frame does not match its checksum", name);
	return 0;
}

/* The first one says how large the file may become, the last one its size. */
static int
take_frames(int fd, int file, const char *name, uint8_t *buffer)
{
	struct stream_frame frame;
	uint64_t most;
	int failed = take_frame(fd, name, &frame, buffer);

	if (!failed && frame.length)
		failed = fail(STATUS_SNAPSHOT,
			      "snapshot %s is damaged: it does not begin with how large it may "
			      "become",
			      name);
	most = frame.offset;
	do {
		if (!failed)
			failed = take_frame(fd, name, &frame, buffer);
		if (!failed && frame.offset + frame.length > most)
			failed = fail(STATUS_SNAPSHOT,
				      "snapshot %s is damaged: it becomes larger than the %llu "
				      "bytes that it began with",
				      name, (unsigned long long)most);
		if (!failed && frame.length)
			failed = put(file, name, buffer, frame.length, frame.offset);
	} while (!failed && frame.length);
	if (failed)
		return failed;
	if (ftruncate(file, (off_t)frame.offset))
		return fail(STATUS_SNAPSHOT, "snapshot %s is damaged: its size is %llu bytes", name,
			    (unsigned long long)frame.offset);
	return 0;
}

int
snapshot_receive(struct snapshot *snapshot, int fd, const char *name)
{
	uint8_t *buffer = malloc(STREAM_FRAME_MAX);
	int file = memfd_create("snapshot", MFD_CLOEXEC), failed;
	char magic[8];

	*snapshot = (struct snapshot){ .fd = -1 };
	if (!buffer || file < 0)
		failed = fail(STATUS_HOST, "can't keep snapshot %s: %s", name, strerror(errno));
	else
		failed = take(fd, name, magic, sizeof(magic));
	if (!failed && memcmp(magic, STREAM_MAGIC, sizeof(magic)))
		failed = fail(STATUS_SNAPSHOT,
			      "%s is not a snapshot: send what --save fd:N or ctl snapshot - "
			      "wrote",
			      name);
	if (!failed)
		failed = take_frames(fd, file, name, buffer);
	free(buffer);
	if (failed) {
		if (file >= 0)
			close(file);
		return failed;
	}
	failed = snapshot_open_fd(snapshot, file, name);
	snapshot->received = true;
	return failed ? failed : snapshot_verify(snapshot);
}
