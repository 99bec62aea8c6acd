/* SPDX-License-Identifier: BSD-2-Clause */
/* Parses the metadata of snapshot files. Files are untrusted: every byte is checked. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/crc.h"
#include "snapshot/reader.h"
#include "snapshot/sections.h"

static uint32_t
header_checksum(const uint8_t *meta)
{
	struct snapshot_header header;
	uint32_t crc;

	memcpy(&header, meta, sizeof(header));
	header.checksum = 0;
	crc = crc32c(0, &header, sizeof(header));
	return crc32c(crc, meta + sizeof(header), header.sections * sizeof(struct snapshot_row));
}

/* Checks that sections have no gaps between them, match their checksums and are complete. */
static int
check_rows(struct snapshot *snapshot, struct why *why)
{
	const uint8_t *table = snapshot->meta + sizeof(snapshot->header);
	uint64_t at = snapshot->header.sections * sizeof(struct snapshot_row);
	char name[5];

	for (uint32_t i = 0; i < snapshot->header.sections; i++) {
		const struct snapshot_row *row = &snapshot->rows[i];
		const uint8_t *data = table + at;
		const struct section *section = section_find(row->tag);
		uint32_t number;

		snapshot_tag_name(row->tag, name);
		if (row->offset != at || row->length > snapshot->header.table_size - at)
			return why_set(why,
				       "is damaged: section %s %u has a wrong offset or length",
				       name, row->index);
		at += row->length;
		if (crc32c(0, data, row->length) != row->checksum)
			return why_set(why, "is damaged: section %s %u does not match its checksum",
				       name, row->index);
		if (row->flags & ~SECTION_SKIPPABLE ||
		    (!section && !(row->flags & SECTION_SKIPPABLE)))
			return why_set(why,
				       "has a section %s that this minivmm does not know: use "
				       "the minivmm that wrote it",
				       name);
		if (!section)
			continue;
		number = snapshot->kinds[section - sections].count++;
		if (row->index != number || number >= section_max(section))
			return why_set(why,
				       "is damaged: section %s %u is a duplicate or out of order",
				       name, row->index);
		if (section->raw)
			continue;
		if (record_open(data, row->length, &snapshot->sections[i], why))
			return why->error ? why_errno(why, why->error, "cannot be read")
					  : why_prefix(why, "is damaged: section %s %u: ", name,
						       row->index);
	}
	if (at != snapshot->header.table_size)
		return why_set(why, "is damaged: bytes follow its last section");
	for (const struct section *s = sections; s->name; s++)
		if (snapshot->kinds[s - sections].count < section_min(s))
			return why_set(why, "is damaged: section %s is missing",
				       snapshot_tag_name(s->tag, name));
	return 0;
}

/* Makes the index by kind. check_rows has counted the sections. */
static int
index_sections(struct snapshot *snapshot, struct why *why)
{
	uint32_t next[SECTION_KINDS_MAX], first = 0;

	snapshot->by_kind = calloc(snapshot->header.sections, sizeof(*snapshot->by_kind));
	if (!snapshot->by_kind)
		return why_errno(why, ENOMEM, "cannot be read");
	for (size_t kind = 0; kind < SECTION_KINDS_MAX; kind++) {
		next[kind] = snapshot->kinds[kind].first = first;
		first += snapshot->kinds[kind].count;
	}
	for (uint32_t i = 0; i < snapshot->header.sections; i++) {
		const struct section *section = section_find(snapshot->rows[i].tag);

		if (section)
			snapshot->by_kind[next[section - sections]++] = &snapshot->sections[i];
	}
	return 0;
}

/* Checks the memory map: whole pages, contiguous offsets, no overlaps. */
static int
check_regions(struct snapshot *snapshot, struct why *why)
{
	static const char *const map_items[] = { "regions", NULL };
	static const char *const region_items[] = { "gpa", "size", "offset", NULL };
	struct record list, item;
	size_t position = 0;
	uint64_t total = 0;

	if (!record_find(snapshot_section(snapshot, SECTION_MEMORY, 0), "regions", &list) ||
	    list.type != RECORD_LIST)
		return why_set(why, "is damaged: its memory map has no regions");
	if (record_only(snapshot_section(snapshot, SECTION_MEMORY, 0), map_items, why))
		return why_prefix(why, "is damaged: its memory map: ");
	while (record_next(&list, &position, &item)) {
		struct snapshot_region *region = &snapshot->regions[snapshot->region_count];
		uint64_t end;

		if (record_only(&item, region_items, why))
			return why_prefix(why, "is damaged: a region of its memory map: ");
		if (snapshot->region_count == MEMORY_REGIONS)
			return why_set(why, "has more than %u memory regions", MEMORY_REGIONS);
		if (!record_get_u64(&item, "gpa", &region->gpa) ||
		    !record_get_u64(&item, "size", &region->size) ||
		    !record_get_u64(&item, "offset", &region->offset))
			return why_set(why, "is damaged: a region of its memory map is incomplete");
		if (region->gpa % PAGE_SIZE || !region->size || region->size % PAGE_SIZE ||
		    __builtin_add_overflow(region->gpa, region->size, &end) ||
		    region->offset != total || region->size > snapshot->header.memory_size - total)
			return why_set(why, "is damaged: its memory map is inconsistent");
		for (size_t i = 0; i < snapshot->region_count; i++)
			if (region->gpa < snapshot->regions[i].gpa + snapshot->regions[i].size &&
			    snapshot->regions[i].gpa < end)
				return why_set(why,
					       "is damaged: regions of its memory map overlap");
		total += region->size;
		snapshot->region_count++;
	}
	if (total != snapshot->header.memory_size)
		return why_set(why, "is damaged: its memory map does not cover its memory");
	return 0;
}

/* Checks the sizes of the raw sections against the memory map. */
static int
check_raw(struct snapshot *snapshot, struct why *why)
{
	const uint8_t *table = snapshot->meta + sizeof(snapshot->header);
	uint64_t chunks = 0, pages = snapshot->header.memory_size / PAGE_SIZE;

	for (size_t i = 0; i < snapshot->region_count; i++)
		chunks += (snapshot->regions[i].size + SNAPSHOT_CHUNK - 1) / SNAPSHOT_CHUNK;
	for (uint32_t i = 0; i < snapshot->header.sections; i++) {
		const struct snapshot_row *row = &snapshot->rows[i];

		if (row->tag == SECTION_SUMS) {
			if (row->length != chunks * sizeof(uint32_t))
				return why_set(why,
					       "is damaged: its checksums are for another memory "
					       "size");
			snapshot->sums = table + row->offset;
		} else if (row->tag == SECTION_PAGES) {
			if (row->length != (pages + 7) / 8)
				return why_set(why, "is damaged: its page bitmap is for another "
						    "memory size");
			if (pages % 8 && table[row->offset + row->length - 1] >> pages % 8)
				return why_set(why,
					       "is damaged: its page bitmap has pages beyond the "
					       "end of memory");
			snapshot->pages = table + row->offset;
		}
	}
	if (snapshot_has_parent(snapshot) != (snapshot->pages != NULL))
		return why_set(why, "is damaged: it has a parent or a page bitmap, but not both");
	if (!snapshot->pages && snapshot->header.parent_checksum)
		return why_set(why, "is damaged: its header is inconsistent");
	return 0;
}

int
snapshot_parse(struct snapshot *snapshot, uint8_t *meta, size_t length, uint64_t file_size,
	       struct why *why)
{
	memset(snapshot, 0, sizeof(*snapshot));
	snapshot->fd = -1;
	snapshot->meta = meta;
	memcpy(&snapshot->header, meta,
	       length < sizeof(snapshot->header) ? length : sizeof(snapshot->header));
	if (snapshot_check_header(&snapshot->header, file_size, why))
		return -1;
	if (length != sizeof(snapshot->header) + snapshot->header.table_size)
		return why_set(why, "is truncated in its metadata");
	if (header_checksum(meta) != snapshot->header.checksum)
		return why_set(why, "is damaged: its header does not match its checksum");
	snapshot->rows = (const struct snapshot_row *)(meta + sizeof(snapshot->header));
	snapshot->sections = calloc(snapshot->header.sections, sizeof(*snapshot->sections));
	if (!snapshot->sections)
		return why_errno(why, ENOMEM, "cannot be read");
	if (check_rows(snapshot, why) || index_sections(snapshot, why) ||
	    check_regions(snapshot, why) || check_raw(snapshot, why))
		return -1;
	return 0;
}

bool
snapshot_has_parent(const struct snapshot *snapshot)
{
	static const uint8_t none[16];

	return memcmp(snapshot->header.parent, none, sizeof(none)) != 0;
}

const struct record *
snapshot_section(const struct snapshot *snapshot, uint32_t tag, uint32_t index)
{
	const struct section *section = section_find(tag);

	if (!section || index >= snapshot->kinds[section - sections].count)
		return NULL;
	return snapshot->by_kind[snapshot->kinds[section - sections].first + index];
}

uint32_t
snapshot_section_count(const struct snapshot *snapshot, uint32_t tag)
{
	const struct section *section = section_find(tag);

	return section ? snapshot->kinds[section - sections].count : 0;
}
