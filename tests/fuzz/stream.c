/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the receiver of snapshot streams with any bytes, and with frames made of them with valid
 * checksums, so that the code behind the checks is reached.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/crc.h"
#include "snapshot/reader.h"

#define SIZE_MOST (1u << 20) /* of the file that the offsets make */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
receive(const uint8_t *bytes, size_t size)
{
	struct snapshot snapshot;
	int fd = memfd_create("stream", MFD_CLOEXEC);

	if (fd < 0 || write(fd, bytes, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET))
		abort();
	snapshot_receive(&snapshot, fd, "stream");
	snapshot_close(&snapshot);
	close(fd);
}

/* Appends a frame with a valid checksum. */
static size_t
put_frame(uint8_t *stream, size_t at, uint64_t offset, const uint8_t *bytes, uint32_t length)
{
	struct stream_frame frame = { .offset = offset, .length = length };

	frame.checksum = crc32c(crc32c(0, &frame, sizeof(frame)), bytes, length);
	memcpy(stream + at, &frame, sizeof(frame));
	if (length)
		memcpy(stream + at + sizeof(frame), bytes, length);
	return at + sizeof(frame) + length;
}

/* Frames whose offsets, lengths and contents come from the bytes. */
static void
receive_frames(const uint8_t *data, size_t size)
{
	uint8_t *stream = malloc(8 + 2 * size + 64 * sizeof(struct stream_frame));
	size_t at = 8;

	if (!stream)
		abort();
	memcpy(stream, STREAM_MAGIC, 8);
	at = put_frame(stream, at, SIZE_MOST, NULL, 0);
	for (unsigned i = 0; i < 62 && size > 6; i++) {
		uint32_t offset, length = (uint32_t)(data[4] | data[5] << 8);

		memcpy(&offset, data, sizeof(offset));
		length = length % (uint32_t)(size - 6) + 1;
		at = put_frame(stream, at, offset % SIZE_MOST, data + 6, length);
		data += 6 + length;
		size -= 6 + length;
	}
	at = put_frame(stream, at, size ? data[0] * 4096u : SIZE_MOST, NULL, 0);
	receive(stream, at);
	free(stream);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	log_set_level(MINIVMM_ERROR);
	receive(data, size);
	receive_frames(data, size);
	return 0;
}
