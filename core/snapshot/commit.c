/* SPDX-License-Identifier: BSD-2-Clause */
/* Completes a snapshot: adds the sections about memory, writes metadata and header, commits. */
#include "snapshot/image.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void
snapshot_meta_add_map(struct snapshot_meta *meta, const struct memory *memory)
{
	struct record_writer *writer = snapshot_meta_begin(meta, SECTION_MEMORY, 0, 0);

	record_begin(writer, "regions", RECORD_LIST);
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *region = memory_region_at(memory, i);

		record_begin(writer, NULL, RECORD_GROUP);
		record_put_u64(writer, "gpa", region->gpa);
		record_put_u64(writer, "size", region->size);
		record_put_u64(writer, "offset", region->offset);
		record_end(writer);
	}
	record_end(writer);
	snapshot_meta_end(meta);
}

static void
add_memory(const struct image *image, struct snapshot_meta *meta, const uint64_t *held)
{
	snapshot_meta_add_map(meta, image->memory);
	snapshot_meta_add(meta, SECTION_SUMS, 0, 0, NULL, image_sums_size(image->memory));
	if (!meta->body.failed)
		image_sums(image, meta->body.data + meta->rows[meta->count - 1].offset);
	if (held)
		snapshot_meta_add(meta, SECTION_PAGES, 0, 0, held,
				  (image->memory->size / PAGE_SIZE + 7) / 8);
}

/* The header is written last: a file without it is not a snapshot. */
int
image_commit(struct image *image, struct snapshot_meta *meta, struct snapshot_header *header,
	     const uint64_t *held)
{
	struct output *output = image->output;
	uint8_t *bytes;
	int failed;

	add_memory(image, meta, held);
	if (meta->body.no_memory)
		return fail_memory("writing snapshot %s", output->path);
	if (meta->body.failed)
		return fail(STATUS_BUG, "cannot write snapshot %s: a record is invalid",
			    output->path);
	if (snapshot_meta_size(meta) > SNAPSHOT_META_MAX || meta->count > SNAPSHOT_SECTIONS_MAX)
		return fail(STATUS_USAGE,
			    "cannot write snapshot %s: its metadata is too large; use less memory "
			    "or fewer devices",
			    output->path);
	bytes = snapshot_meta_seal(meta, header, image->memory->size);
	if (!bytes)
		return fail_memory("writing snapshot %s", output->path);
	failed =
	    output_write(output, bytes + sizeof(*header), header->table_size, header->table_offset);
	if (!failed)
		failed = output_write(output, bytes, sizeof(*header), 0);
	free(bytes);
	return failed ? failed : output_commit(output);
}
