/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds the metadata of a snapshot: header, table, sections. */
#include "snapshot/writer.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot/crc.h"

struct record_writer *
snapshot_meta_begin(struct snapshot_meta *meta, uint32_t tag, uint32_t index, uint32_t flags)
{
	struct record_writer *body = &meta->body;
	struct snapshot_row *rows = meta->rows;

	if (!(meta->count & (meta->count - 1))) /* 0 or a power of two: that many more */
		rows = realloc(rows, (meta->count ? 2 * meta->count : 1) * sizeof(*rows));
	if (rows) {
		meta->rows = rows;
		rows[meta->count++] = (struct snapshot_row){
			.tag = tag, .index = index, .flags = flags, .offset = body->length
		};
	} else
		record_fail(body, true);
	record_root(body);
	return body;
}

void
snapshot_meta_end(struct snapshot_meta *meta)
{
	struct snapshot_row *row;

	record_finish(&meta->body);
	if (meta->body.failed)
		return;
	row = &meta->rows[meta->count - 1];
	row->length = meta->body.length - row->offset;
}

void
snapshot_meta_drop(struct snapshot_meta *meta)
{
	if (meta->count)
		meta->body.length = meta->rows[--meta->count].offset;
}

void
snapshot_meta_add(struct snapshot_meta *meta, uint32_t tag, uint32_t index, uint32_t flags,
		  const void *data, size_t length)
{
	void *to = record_append(snapshot_meta_begin(meta, tag, index, flags), length);

	if (to && data)
		memcpy(to, data, length);
	else if (to)
		memset(to, 0, length);
	snapshot_meta_end(meta);
}

uint64_t
snapshot_meta_size(const struct snapshot_meta *meta)
{
	return sizeof(struct snapshot_header) + meta->count * sizeof(struct snapshot_row) +
	       meta->body.length;
}

uint8_t *
snapshot_meta_seal(const struct snapshot_meta *meta, struct snapshot_header *header,
		   uint64_t memory_size)
{
	size_t table = meta->count * sizeof(struct snapshot_row);
	uint8_t *bytes = meta->body.failed ? NULL : calloc(1, snapshot_meta_size(meta));
	struct snapshot_row *rows;

	if (!bytes)
		return NULL;
	memcpy(header->magic, SNAPSHOT_MAGIC, sizeof(header->magic));
	header->version = SNAPSHOT_VERSION;
	header->header_size = sizeof(*header);
	header->sections = (uint32_t)meta->count;
	header->page_size = PAGE_SIZE;
	header->memory_offset = SNAPSHOT_MEMORY_OFFSET;
	header->memory_size = memory_size;
	header->table_offset = SNAPSHOT_MEMORY_OFFSET + memory_size;
	header->table_size = table + meta->body.length;
	header->checksum = 0;
	rows = (struct snapshot_row *)(bytes + sizeof(*header));
	for (size_t i = 0; i < meta->count; i++) {
		rows[i] = meta->rows[i];
		rows[i].checksum = crc32c(0, meta->body.data + rows[i].offset, rows[i].length);
		rows[i].offset += table;
	}
	memcpy(bytes + sizeof(*header) + table, meta->body.data, meta->body.length);
	header->checksum = crc32c(crc32c(0, header, sizeof(*header)), rows, table);
	memcpy(bytes, header, sizeof(*header));
	return bytes;
}

void
snapshot_meta_free(struct snapshot_meta *meta)
{
	free(meta->rows);
	record_writer_free(&meta->body);
	memset(meta, 0, sizeof(*meta));
}
