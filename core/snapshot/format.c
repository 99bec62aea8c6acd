/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of the file format that reader and writer share: header, names, checksums of memory. */
#include "snapshot/format.h"

#include <stdio.h>
#include <string.h>

#include "snapshot/crc.h"

int
snapshot_header_size(const struct snapshot_header *header, uint64_t length, uint64_t *size,
		     struct why *why)
{
	uint64_t rows, memory_end;

	if (length >= sizeof(header->magic) &&
	    !memcmp(header->magic, STREAM_MAGIC, sizeof(header->magic)))
		return why_set(
		    why, "is a snapshot stream, not a snapshot file: restore it with -r - <FILE, "
			 "then write a file with --save or ctl snapshot");
	if (length < sizeof(header->magic) ||
	    memcmp(header->magic, SNAPSHOT_MAGIC, sizeof(header->magic)))
		return why_set(why,
			       "is not a snapshot: name a file that --save, [snapshot] file or ctl "
			       "snapshot wrote");
	if (length < sizeof(*header))
		return why_set(
		    why, "is truncated after %llu bytes, in its header: take the snapshot again",
		    (unsigned long long)length);
	if (header->version != SNAPSHOT_VERSION)
		return why_set(why,
			       "has snapshot format %u, but this minivmm reads format %u: use the "
			       "minivmm that wrote it",
			       header->version, SNAPSHOT_VERSION);
	if (header->header_size != sizeof(*header) || header->page_size != PAGE_SIZE ||
	    !header->sections || header->sections > SNAPSHOT_SECTIONS_MAX)
		return why_set(why, "is damaged: its header is inconsistent");
	rows = header->sections * sizeof(struct snapshot_row);
	if (header->table_size < rows || header->table_size > SNAPSHOT_META_MAX ||
	    header->memory_offset < sizeof(*header) || header->memory_offset % PAGE_SIZE ||
	    !header->memory_size || header->memory_size % PAGE_SIZE ||
	    __builtin_add_overflow(header->memory_offset, header->memory_size, &memory_end) ||
	    header->table_offset != memory_end ||
	    __builtin_add_overflow(memory_end, header->table_size, size) || *size > INT64_MAX)
		return why_set(why, "is damaged: the sizes in its header are inconsistent");
	return 0;
}

int
snapshot_check_header(const struct snapshot_header *header, uint64_t file_size, struct why *why)
{
	uint64_t end = 0;

	if (snapshot_header_size(header, file_size, &end, why))
		return -1;
	if (file_size < end)
		return why_set(why,
			       "is truncated: it has %llu of %llu bytes: take the snapshot again",
			       (unsigned long long)file_size, (unsigned long long)end);
	if (file_size > end)
		return why_set(why, "is damaged: %llu bytes follow its end",
			       (unsigned long long)(file_size - end));
	return 0;
}

const char *
snapshot_tag_name(uint32_t tag, char *buffer)
{
	for (int i = 0; i < 4; i++) {
		char letter = (char)(tag >> 8 * i);

		buffer[i] = letter > ' ' && letter < 0x7f ? letter : '?';
	}
	buffer[4] = 0;
	return buffer;
}

const char *
snapshot_id_text(const uint8_t id[16], char *buffer)
{
	for (size_t i = 0; i < 16; i++)
		snprintf(buffer + 2 * i, 3, "%02x", id[i]);
	return buffer;
}

bool
snapshot_zero(const uint8_t *bytes, size_t length)
{
	static const uint8_t zeros[16];

	/* Zero if it equals itself 16 bytes later: memcmp is the fastest way to read memory. */
	return !memcmp(bytes, zeros, 16) && !memcmp(bytes, bytes + 16, length - 16);
}

uint32_t
snapshot_sum(const uint8_t *chunk, size_t length)
{
	uint32_t sum;

	if (snapshot_zero(chunk, length))
		return 0;
	sum = crc32c(0, chunk, length);
	return sum ? sum : 1;
}
