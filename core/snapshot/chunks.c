/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads the memory of snapshots by chunk and by address, and verifies its checksums. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "snapshot/reader.h"

bool
snapshot_chunk_next(const struct snapshot *snapshot, struct snapshot_chunk *chunk)
{
	const struct snapshot_region *region;
	uint64_t left;

	if (chunk->size)
		chunk->number++;
	if (chunk->next && chunk->next == snapshot->regions[chunk->region].size) {
		chunk->next = 0;
		chunk->region++;
	}
	if (chunk->region >= snapshot->region_count)
		return false;
	region = &snapshot->regions[chunk->region];
	left = region->size - chunk->next;
	chunk->gpa = region->gpa + chunk->next;
	chunk->file_offset = snapshot->header.memory_offset + region->offset + chunk->next;
	chunk->size = left < SNAPSHOT_CHUNK ? left : SNAPSHOT_CHUNK;
	memcpy(&chunk->sum, snapshot->sums + chunk->number * sizeof(chunk->sum),
	       sizeof(chunk->sum));
	chunk->next += chunk->size;
	return true;
}

int
snapshot_chunk_read(const struct snapshot *snapshot, const struct snapshot_chunk *chunk,
		    uint8_t *buffer)
{
	return snapshot_pread(snapshot, buffer, chunk->size, chunk->file_offset);
}

/* Is this a hole in the file? It reads as zeros, so it need not be read: a file of any size can
 * consist of holes. */
static bool
file_hole(const struct snapshot *snapshot, uint64_t offset, size_t length)
{
	off_t at = (off_t)offset, data = lseek(snapshot->fd, at, SEEK_DATA);

	return data >= 0 ? data - at >= (off_t)length : errno == ENXIO;
}

/* Is a part of a region zero by its checksums? */
static bool
hole(const struct snapshot *snapshot, size_t region, uint64_t from, size_t length)
{
	uint64_t first = 0;

	for (size_t i = 0; i < region; i++)
		first += (snapshot->regions[i].size + SNAPSHOT_CHUNK - 1) / SNAPSHOT_CHUNK;
	for (uint64_t at = from / SNAPSHOT_CHUNK; at * SNAPSHOT_CHUNK < from + length; at++) {
		uint32_t sum;

		memcpy(&sum, snapshot->sums + (first + at) * sizeof(sum), sizeof(sum));
		if (sum)
			return false;
	}
	return true;
}

/* Returns the snapshot of the chain that holds a page of the memory image; NULL: in a parent that
 * is not open. */
static const struct snapshot *
holder(const struct snapshot *snapshot, uint64_t page)
{
	while (snapshot && !snapshot_holds(snapshot, page))
		snapshot = snapshot->parent;
	return snapshot;
}

uint64_t
snapshot_extent(const struct snapshot *snapshot, gpa_t gpa)
{
	for (size_t i = 0; i < snapshot->region_count; i++) {
		const struct snapshot_region *region = &snapshot->regions[i];

		if (gpa >= region->gpa && gpa - region->gpa < region->size)
			return region->size - (gpa - region->gpa);
	}
	return 0;
}

bool
snapshot_has(const struct snapshot *snapshot, gpa_t gpa)
{
	for (size_t i = 0; i < snapshot->region_count; i++) {
		const struct snapshot_region *region = &snapshot->regions[i];
		uint64_t from = gpa - region->gpa;

		if (gpa >= region->gpa && from < region->size)
			return holder(snapshot, (region->offset + from) / PAGE_SIZE) != NULL;
	}
	return false;
}

/* Is this part of the image a hole in the file and in all its parents? */
static bool
chain_hole(const struct snapshot *snapshot, uint64_t offset, size_t length)
{
	while (snapshot && file_hole(snapshot, snapshot->header.memory_offset + offset, length))
		snapshot = snapshot->parent;
	return !snapshot;
}

/* Reads length bytes of the image over those of the parents. Holes over holes stay untouched. */
static int
read_over(const struct snapshot *snapshot, uint8_t *to, uint64_t offset, size_t length)
{
	int failed = 0;

	for (size_t at = 0, part; at < length && !failed; at += part) {
		part = length - at < SNAPSHOT_CHUNK ? length - at : SNAPSHOT_CHUNK;
		if (!chain_hole(snapshot, offset + at, part))
			failed = snapshot_pread(snapshot, to + at, part,
						snapshot->header.memory_offset + offset + at);
	}
	return failed;
}

int
snapshot_overlay(const struct snapshot *snapshot, uint8_t *(*page_at)(const void *, uint64_t),
		 const void *context)
{
	uint64_t pages = snapshot->header.memory_size / PAGE_SIZE;
	int failed = 0;

	if (!snapshot->pages)
		return 0;
	failed = snapshot_overlay(snapshot->parent, page_at, context);
	for (uint64_t page = 0, end; page < pages && !failed; page = end) {
		uint8_t *to;

		end = page + 1;
		if (!snapshot_holds(snapshot, page))
			continue;
		to = page_at(context, page);
		while (end < pages && snapshot_holds(snapshot, end) &&
		       page_at(context, end) == to + (end - page) * PAGE_SIZE)
			end++;
		failed = read_over(snapshot, to, page * PAGE_SIZE, (end - page) * PAGE_SIZE);
	}
	return failed;
}

static uint8_t *
page_of_map(const void *map, uint64_t page)
{
	return (uint8_t *)map + page * PAGE_SIZE;
}

int
snapshot_map(const struct snapshot *snapshot, const uint8_t **image)
{
	const struct snapshot *root = snapshot;
	uint64_t size = snapshot->header.memory_size;
	bool chain = snapshot->pages != NULL;
	uint8_t *map;
	int failed = 0;

	while (root->parent)
		root = root->parent;
	if (root->pages)
		return fail(STATUS_SNAPSHOT, "cannot read the memory of %s: its parent is not open",
			    root->path);
	map = mmap(NULL, size, chain ? PROT_READ | PROT_WRITE : PROT_READ,
		   (chain ? MAP_PRIVATE : MAP_SHARED) | MAP_NORESERVE, root->fd,
		   (off_t)root->header.memory_offset);
	if (map == MAP_FAILED)
		return fail(STATUS_HOST, "cannot map the memory of %s: %s", snapshot->path,
			    limit_error(errno).text);
	if (chain)
		failed = snapshot_overlay(snapshot, page_of_map, map);
	*image = map;
	if (failed)
		munmap(map, size);
	if (failed)
		*image = NULL;
	return failed;
}

bool
snapshot_page_zero(const struct snapshot *snapshot, uint64_t page)
{
	const struct snapshot *from = holder(snapshot, page);
	size_t region = 0;

	while (page * PAGE_SIZE >=
	       snapshot->regions[region].offset + snapshot->regions[region].size)
		region++;
	return from &&
	       hole(from, region, page * PAGE_SIZE - snapshot->regions[region].offset, PAGE_SIZE);
}

/* Whole pages of a region in a chain: each is zero by the checksums of the file that holds it, or a
 * hole in that file. */
static bool
pages_zero(const struct snapshot *snapshot, size_t region, uint64_t from, size_t length)
{
	uint64_t offset = snapshot->regions[region].offset + from;
	size_t part;

	for (size_t at = 0; at < length; at += part) {
		const struct snapshot *file = holder(snapshot, (offset + at) / PAGE_SIZE);

		part = PAGE_SIZE;
		while (at + part < length &&
		       holder(snapshot, (offset + at + part) / PAGE_SIZE) == file)
			part += PAGE_SIZE;
		if (!file || (!hole(file, region, from + at, part) &&
			      !file_hole(file, file->header.memory_offset + offset + at, part)))
			return false;
	}
	return true;
}

bool
snapshot_known_zero(const struct snapshot *snapshot, gpa_t gpa, size_t length)
{
	for (size_t i = 0; i < snapshot->region_count; i++) {
		const struct snapshot_region *region = &snapshot->regions[i];
		uint64_t from = gpa - region->gpa, offset = region->offset + from;

		if (gpa < region->gpa || from >= region->size)
			continue;
		if (snapshot->pages)
			return pages_zero(snapshot, i, from, length);
		return hole(snapshot, i, from, length) ||
		       file_hole(snapshot, snapshot->header.memory_offset + offset, length);
	}
	return false;
}

/* Reads a part of a region from one file. */
static int
read_part(const struct snapshot *snapshot, size_t region, uint64_t from, void *to, size_t length)
{
	if (!hole(snapshot, region, from, length))
		return snapshot_pread(snapshot, to, length,
				      snapshot->header.memory_offset +
					  snapshot->regions[region].offset + from);
	memset(to, 0, length);
	return 0;
}

/* Reads a part of a region, each page from the file of the chain that holds it. */
static int
read_chain(const struct snapshot *snapshot, size_t region, uint64_t from, uint8_t *to,
	   size_t length)
{
	uint64_t first = snapshot->regions[region].offset;
	int failed = 0;

	while (length && !failed) {
		const struct snapshot *file = holder(snapshot, (first + from) / PAGE_SIZE);
		size_t part = 0;

		if (!file)
			return fail(STATUS_SNAPSHOT,
				    "cannot read the memory of %s: its parent is not open",
				    snapshot->path);
		do {
			part += PAGE_SIZE - (from + part) % PAGE_SIZE;
		} while (part < length &&
			 holder(snapshot, (first + from + part) / PAGE_SIZE) == file);
		part = part < length ? part : length;
		failed = read_part(file, region, from, to, part);
		from += part;
		to += part;
		length -= part;
	}
	return failed;
}

int
snapshot_read(const struct snapshot *snapshot, gpa_t gpa, void *to, size_t length)
{
	for (size_t i = 0; i < snapshot->region_count; i++) {
		const struct snapshot_region *region = &snapshot->regions[i];
		uint64_t from = gpa - region->gpa;

		if (gpa < region->gpa || from >= region->size || length > region->size - from)
			continue;
		return snapshot->pages ? read_chain(snapshot, i, from, to, length)
				       : read_part(snapshot, i, from, to, length);
	}
	return fail(STATUS_SNAPSHOT, "%s has no memory at 0x%llx", snapshot->path,
		    (unsigned long long)gpa);
}

#define DAMAGE_REPORTED 8

int
snapshot_verify(const struct snapshot *snapshot)
{
	struct snapshot_chunk chunk = { 0 };
	uint8_t *buffer = malloc(SNAPSHOT_CHUNK);
	uint64_t damaged = 0;
	int failed = 0;

	if (!buffer)
		return fail_memory("verifying %s", snapshot->path);
	while (snapshot_chunk_next(snapshot, &chunk)) {
		bool absent = file_hole(snapshot, chunk.file_offset, chunk.size);

		if (!chunk.sum && absent)
			continue;
		failed = absent ? 0 : snapshot_chunk_read(snapshot, &chunk, buffer);
		if (failed)
			break;
		if ((absent || snapshot_sum(buffer, chunk.size) != chunk.sum) &&
		    damaged++ < DAMAGE_REPORTED)
			failed = fail(STATUS_SNAPSHOT,
				      "%s is damaged: memory from 0x%llx to 0x%llx does not match "
				      "its checksum",
				      snapshot->path, (unsigned long long)chunk.gpa,
				      (unsigned long long)(chunk.gpa + chunk.size - 1));
	}
	free(buffer);
	if (damaged > DAMAGE_REPORTED)
		fail(STATUS_SNAPSHOT,
		     "%s is damaged: %llu more chunks of memory do not match their checksums",
		     snapshot->path, (unsigned long long)(damaged - DAMAGE_REPORTED));
	return damaged ? -STATUS_SNAPSHOT : failed;
}
