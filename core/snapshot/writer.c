/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds the metadata of a snapshot: header, table, sections. */
#include "snapshot/writer.h"

#include <stdlib.h>
#include <string.h>

#include "snapshot/crc.h"

void
snapshot_meta_add(struct snapshot_meta *meta, uint32_t tag, uint32_t index, uint32_t flags,
		  const void *data, size_t length)
{
	struct snapshot_row *rows;
	uint8_t *body;

	if (meta->failed)
		return;
	rows = realloc(meta->rows, (meta->count + 1) * sizeof(*rows));
	if (rows)
		meta->rows = rows;
	body = realloc(meta->body, meta->length + length + 1); /* realloc(p, 0) may return NULL */
	if (body)
		meta->body = body;
	if (!rows || !body) {
		meta->failed = meta->no_memory = true;
		return;
	}
	if (data)
		memcpy(body + meta->length, data, length);
	else
		memset(body + meta->length, 0, length);
	rows[meta->count++] = (struct snapshot_row){
		.tag = tag, .index = index, .flags = flags, .offset = meta->length, .length = length
	};
	meta->length += length;
}

void
snapshot_meta_add_record(struct snapshot_meta *meta, uint32_t tag, uint32_t index, uint32_t flags,
			 struct record_writer *writer)
{
	record_finish(writer);
	meta->failed |= writer->failed;
	meta->no_memory |= writer->no_memory;
	snapshot_meta_add(meta, tag, index, flags, writer->data, writer->length);
	record_writer_free(writer);
	*writer = (struct record_writer){ 0 };
}

uint64_t
snapshot_meta_size(const struct snapshot_meta *meta)
{
	return sizeof(struct snapshot_header) + meta->count * sizeof(struct snapshot_row) +
	       meta->length;
}

uint8_t *
snapshot_meta_seal(const struct snapshot_meta *meta, struct snapshot_header *header,
		   uint64_t memory_size)
{
	size_t table = meta->count * sizeof(struct snapshot_row);
	uint8_t *bytes = meta->failed ? NULL : calloc(1, snapshot_meta_size(meta));
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
	header->table_size = table + meta->length;
	header->checksum = 0;
	rows = (struct snapshot_row *)(bytes + sizeof(*header));
	for (size_t i = 0; i < meta->count; i++) {
		rows[i] = meta->rows[i];
		rows[i].checksum = crc32c(0, meta->body + rows[i].offset, rows[i].length);
		rows[i].offset += table;
	}
	memcpy(bytes + sizeof(*header) + table, meta->body, meta->length);
	header->checksum = crc32c(crc32c(0, header, sizeof(*header)), rows, table);
	memcpy(bytes, header, sizeof(*header));
	return bytes;
}

void
snapshot_meta_free(struct snapshot_meta *meta)
{
	free(meta->rows);
	free(meta->body);
	memset(meta, 0, sizeof(*meta));
}
