/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receives a snapshot through a descriptor: a stream, or the bytes of a snapshot file. Assembles
 * the file in memory (memfd), unless the descriptor is that file.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "snapshot/crc.h"
#include "snapshot/reader.h"

/*
 * Reads until *length is size, or to the end. The descriptor may be non-blocking. to already holds
 * the first *length bytes.
 */
static int
read_some(int fd, const char *name, void *to, size_t size, size_t *length)
{
	while (*length < size) {
		ssize_t n = read(fd, (uint8_t *)to + *length, size - *length);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd ready = { .fd = fd, .events = POLLIN };

			poll(&ready, 1, -1);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail(STATUS_IO, "cannot read snapshot %s: %s", name,
				    limit_error(errno).text);
		if (!n)
			break;
		*length += (size_t)n;
	}
	return 0;
}

/* Reads exactly size bytes. */
static int
read_all(int fd, const char *name, void *to, size_t size)
{
	size_t length = 0;
	int failed = read_some(fd, name, to, size, &length);

	return failed || length == size
		   ? failed
		   : fail(STATUS_SNAPSHOT,
			  "snapshot %s is truncated: check that its sender has completed", name);
}

static int
write_all(int file, const char *name, const uint8_t *bytes, size_t length, uint64_t offset)
{
	while (length) {
		ssize_t n = pwrite(file, bytes, length, (off_t)offset);

		if (n <= 0)
			return fail(STATUS_HOST, "cannot receive snapshot %s: %s", name,
				    limit_error(errno).text);
		bytes += n;
		offset += (size_t)n;
		length -= (size_t)n;
	}
	return 0;
}

/* Reads one frame; its bytes go to buffer (STREAM_FRAME_MAX bytes). */
static int
read_frame(int fd, const char *name, struct stream_frame *frame, uint8_t *buffer)
{
	uint32_t checksum;
	uint64_t end;
	int failed = read_all(fd, name, frame, sizeof(*frame));

	if (failed)
		return failed;
	if (frame->length > STREAM_FRAME_MAX ||
	    __builtin_add_overflow(frame->offset, frame->length, &end) || end > INT64_MAX)
		return fail(STATUS_SNAPSHOT,
			    "snapshot %s is damaged: it has an invalid frame of %u bytes", name,
			    frame->length);
	failed = read_all(fd, name, buffer, frame->length);
	if (failed)
		return failed;
	checksum = frame->checksum;
	frame->checksum = 0;
	if (crc32c(crc32c(0, frame, sizeof(*frame)), buffer, frame->length) != checksum)
		return fail(STATUS_SNAPSHOT,
			    "snapshot %s is damaged: a frame does not match its checksum", name);
	return 0;
}

/* The memory that a stream takes, at most: whole pages. */
struct taken {
	uint64_t received; /* bytes of frames */
	uint64_t pages;
	uint64_t last; /* the page in which the last frame ended, plus one; 0: none */
};

/*
 * Counts the pages that a frame touches. A frame that continues the page of the one before costs no
 * page of its own. Returns whether the pages are in proportion to what came: small frames that are
 * far apart would take a page each.
 */
static bool
in_proportion(struct taken *taken, const struct stream_frame *frame)
{
	uint64_t first = frame->offset / PAGE_SIZE + 1;
	uint64_t last = (frame->offset + frame->length - 1) / PAGE_SIZE + 1;

	taken->received += sizeof(*frame) + frame->length;
	taken->pages += last - first + (first != taken->last);
	taken->last = last;
	return taken->pages * PAGE_SIZE <= 2 * taken->received + STREAM_FRAME_MAX;
}

/*
 * Bytes that no frame has written are zeros and cost nothing in the file, but metadata is read into
 * memory: refuses more of it than came.
 */
static int
check_metadata(int file, const char *name, uint64_t received)
{
	struct snapshot_header header = { .table_size = 0 };

	/* A short header is reported by the reader. */
	if (pread(file, &header, sizeof(header), 0) != sizeof(header) ||
	    header.table_size <= received)
		return 0;
	return fail(
	    STATUS_SNAPSHOT,
	    "snapshot %s is damaged: it has %llu bytes of metadata, but its stream only %llu", name,
	    (unsigned long long)header.table_size, (unsigned long long)received);
}

/* The offset of the first frame is the size limit, that of the last one the size (format.h). */
static int
read_frames(int fd, int file, const char *name, uint8_t *buffer)
{
	struct stream_frame frame;
	struct taken taken = { 0 };
	uint64_t size_max;
	int failed = read_frame(fd, name, &frame, buffer);

	if (!failed && frame.length)
		failed = fail(STATUS_SNAPSHOT,
			      "snapshot %s is damaged: its stream does not begin with a size limit",
			      name);
	size_max = frame.offset;
	do {
		if (!failed)
			failed = read_frame(fd, name, &frame, buffer);
		if (!failed && frame.offset + frame.length > size_max)
			failed = fail(STATUS_SNAPSHOT,
				      "snapshot %s is damaged: it exceeds its size limit of %llu "
				      "bytes",
				      name, (unsigned long long)size_max);
		if (!failed && frame.length && !in_proportion(&taken, &frame))
			failed = fail(STATUS_SNAPSHOT,
				      "snapshot %s is damaged: its small frames are too far apart: "
				      "send the output of --save fd:N or ctl snapshot -",
				      name);
		if (!failed && frame.length)
			failed = write_all(file, name, buffer, frame.length, frame.offset);
	} while (!failed && frame.length);
	if (!failed)
		failed = check_metadata(file, name, taken.received);
	if (failed)
		return failed;
	if (ftruncate(file, (off_t)frame.offset))
		return fail(STATUS_SNAPSHOT,
			    "snapshot %s is damaged: its size of %llu bytes is invalid", name,
			    (unsigned long long)frame.offset);
	return 0;
}

/* Opens the snapshot file behind a descriptor, as in minivmm -r - <FILE. */
static int
open_file(struct snapshot *snapshot, int fd, const char *name)
{
	int file = fcntl(fd, F_DUPFD_CLOEXEC, 0), failed;

	if (file < 0)
		return fail(STATUS_HOST, "cannot open snapshot %s: %s", name,
			    limit_error(errno).text);
	failed = snapshot_open_fd(snapshot, file, name);
	snapshot->received = true;
	lseek(fd, 0, SEEK_END); /* what follows in stdin is input for the guest */
	return failed;
}

/* Stores the size that a file must have by its header, of which length bytes are there. */
static int
plain_size(const char *name, const uint8_t *bytes, size_t length, uint64_t *size)
{
	struct snapshot_header header = { .version = 0 };
	struct why why;

	memcpy(&header, bytes, length < sizeof(header) ? length : sizeof(header));
	return snapshot_header_size(&header, length, size, &why)
		   ? fail(STATUS_SNAPSHOT, "snapshot %s %s", name, why.text)
		   : 0;
}

/*
 * Copies the rest of a snapshot file of which magic has been read. Leaves out zero pages. A file
 * that is longer than its header says is not read to its end: it might have none.
 */
static int
read_plain(int fd, int file, const char *name, uint8_t *buffer, const char magic[8])
{
	static const uint8_t zeros[PAGE_SIZE];
	uint64_t offset = 0, total = 0, size = 0;
	size_t length = 8;
	int failed = 0;

	memcpy(buffer, magic, length);
	for (bool more = true; more && !failed; length = 0) {
		failed = read_some(fd, name, buffer, STREAM_FRAME_MAX, &length);
		more = length == STREAM_FRAME_MAX;
		if (!failed && !total)
			failed = plain_size(name, buffer, length, &size);
		total += length;
		if (!failed && total > size)
			failed = fail(STATUS_SNAPSHOT,
				      "snapshot %s is damaged: more bytes follow its end, at %llu",
				      name, (unsigned long long)size);
		for (size_t at = 0; at < length && !failed; at += PAGE_SIZE, offset += PAGE_SIZE) {
			size_t part = length - at < PAGE_SIZE ? length - at : PAGE_SIZE;

			if (part < PAGE_SIZE || memcmp(buffer + at, zeros, part))
				failed = write_all(file, name, buffer + at, part, offset);
		}
	}
	if (!failed && ftruncate(file, (off_t)total))
		failed = fail(STATUS_HOST, "cannot receive snapshot %s: %s", name,
			      limit_error(errno).text);
	return failed;
}

int
snapshot_receive(struct snapshot *snapshot, int fd, const char *name)
{
	uint8_t *buffer;
	int file, failed;
	struct stat st;
	char magic[8];

	*snapshot = (struct snapshot){ .fd = -1 };
	failed = read_all(fd, name, magic, sizeof(magic));
	if (failed)
		return failed;
	if (!memcmp(magic, SNAPSHOT_MAGIC, sizeof(magic)) && !fstat(fd, &st) && S_ISREG(st.st_mode))
		return open_file(snapshot, fd, name);
	buffer = malloc(STREAM_FRAME_MAX);
	file = memfd_create("snapshot", MFD_CLOEXEC);
	if (!buffer || file < 0)
		failed = fail(STATUS_HOST, "cannot receive snapshot %s: %s", name,
			      limit_error(errno).text);
	else if (!memcmp(magic, STREAM_MAGIC, sizeof(magic)))
		failed = read_frames(fd, file, name, buffer);
	else if (!memcmp(magic, SNAPSHOT_MAGIC, sizeof(magic)))
		failed = read_plain(fd, file, name, buffer, magic);
	else
		failed = fail(STATUS_SNAPSHOT,
			      "%s is not a snapshot: send a snapshot file, or the output of --save "
			      "fd:N or ctl snapshot -",
			      name);
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
