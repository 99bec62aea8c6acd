/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a snapshot and its parents as one file. */
#include <stdlib.h>
#include <sys/random.h>

#include "base/log.h"
#include "snapshot/image.h"
#include "snapshot/reader.h"
#include "snapshot/sections.h"

/* Copies all sections, also unknown ones, except those about memory. */
static void
copy_sections(const struct snapshot *snapshot, struct snapshot_meta *meta)
{
	const uint8_t *table = snapshot->meta + sizeof(snapshot->header);

	for (uint32_t i = 0; i < snapshot->header.sections; i++) {
		const struct snapshot_row *row = &snapshot->rows[i];
		const struct section *section = section_find(row->tag);

		if (!section || section->saved != SAVED_WITH_MEMORY)
			snapshot_meta_add(meta, row->tag, row->index, row->flags,
					  table + row->offset, row->length);
	}
}

/* Returns the memory map of the machine, without host memory. */
static struct memory
memory_of(const struct snapshot *snapshot)
{
	struct memory memory = { .count = (uint32_t)snapshot->region_count,
				 .size = snapshot->header.memory_size };

	for (size_t i = 0; i < snapshot->region_count; i++)
		memory.regions[i] = (struct memory_region){ .gpa = snapshot->regions[i].gpa,
							    .size = snapshot->regions[i].size,
							    .offset = snapshot->regions[i].offset,
							    .fd = -1 };
	return memory;
}

/* Reads the file instead of mapping it: a truncation is then an error, not a SIGBUS. */
static int
write_pages(struct image *image, const struct snapshot *snapshot, uint8_t buffer[SNAPSHOT_CHUNK])
{
	int failed = 0;

	for (uint32_t r = 0; r < image->memory->count; r++) {
		const struct memory_region *region = memory_region_at(image->memory, r);

		for (uint64_t at = 0; at < region->size && !failed; at += SNAPSHOT_CHUNK) {
			uint64_t first = (region->offset + at) / PAGE_SIZE,
				 left = region->size - at;
			size_t size = left < SNAPSHOT_CHUNK ? left : SNAPSHOT_CHUNK;
			uint32_t wanted = 0;

			for (uint32_t i = 0; i < size / PAGE_SIZE; i++)
				wanted |= (uint32_t)!snapshot_page_zero(snapshot, first + i) << i;
			if (!wanted)
				continue;
			failed = snapshot_read(snapshot, region->gpa + at, buffer, size);
			if (!failed)
				failed = image_write_copy(image, first, buffer, wanted);
		}
	}
	return failed;
}

int
snapshot_copy(const struct snapshot *snapshot, const char *path)
{
	struct snapshot_header header = { .version = 0 };
	struct snapshot_meta meta = { 0 };
	struct image image = { 0 };
	struct output output;
	struct memory memory = memory_of(snapshot);
	const struct snapshot *s = snapshot;
	uint8_t *buffer;
	int failed;

	/* Damaged memory must not get valid checksums. */
	do
		failed = snapshot_verify(s);
	while (!failed && (s = s->parent));
	if (failed)
		return failed;
	buffer = malloc(SNAPSHOT_CHUNK);
	if (!buffer)
		return fail_memory("writing snapshot %s", path);
	failed = output_open(&output, path);
	if (!failed && getrandom(header.id, sizeof(header.id), 0) != sizeof(header.id))
		failed = fail(STATUS_HOST, "cannot write snapshot %s: getrandom failed", path);
	if (!failed)
		failed = image_init(&image, &output, &memory);
	if (!failed)
		failed = output_resize(&output, SNAPSHOT_MEMORY_OFFSET + memory.size);
	if (!failed)
		failed = write_pages(&image, snapshot, buffer);
	copy_sections(snapshot, &meta);
	if (!failed)
		failed = image_commit(&image, &meta, &header, NULL);
	snapshot_meta_free(&meta);
	image_free(&image);
	output_close(&output);
	free(buffer);
	return failed;
}
