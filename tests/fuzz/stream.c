/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the receiver of snapshots from pipes: any bytes, and frames made of them with right checksums, so that what
 * lies behind is reached.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/output.h"
#include "snapshot/snapshot.h"

#define SIZE_MOST (1u << 20) /* of the file that offsets make */

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

/* Frames whose offsets and lengths come from the bytes, and whose contents are the bytes. */
static void
receive_frames(const uint8_t *data, size_t size)
{
	uint8_t *stream = malloc(8 + 2 * size + 64 * sizeof(struct stream_frame));
	size_t at = 8;

	if (!stream)
		abort();
	memcpy(stream, STREAM_MAGIC, 8);
	for (unsigned i = 0; i < 62 && size > 6; i++) {
		struct stream_frame frame = { .offset = 0 };
		uint32_t offset;

		memcpy(&offset, data, sizeof(offset));
		frame.offset = offset % SIZE_MOST;
		frame.length = (uint32_t)(data[4] | data[5] << 8) % (uint32_t)(size - 6) + 1;
		frame.checksum = crc32c(crc32c(0, &frame, sizeof(frame)), data + 6, frame.length);
		memcpy(stream + at, &frame, sizeof(frame));
		memcpy(stream + at + sizeof(frame), data + 6, frame.length);
		at += sizeof(frame) + frame.length;
		data += 6 + frame.length;
		size -= 6 + frame.length;
	}
	{
		struct stream_frame end = { .offset = size ? data[0] * 4096u : SIZE_MOST };

		end.checksum = crc32c(0, &end, sizeof(end));
		memcpy(stream + at, &end, sizeof(end));
		at += sizeof(end);
	}
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
