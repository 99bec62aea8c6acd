/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds the pages of guest memory that may not be zero. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "machine/memory.h"

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FILE (1ull << 61) /* a page of a file, or shared anonymous */
#define PAGEMAP_SWAPPED (1ull << 62)

void
memory_scan_open(struct memory_scan *scan, const struct memory_region *region)
{
	scan->region = region;
	scan->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	scan->first = scan->count = 0;
	scan->known_begin = scan->known_end = 0;
}

void
memory_scan_close(struct memory_scan *scan)
{
	if (scan->pagemap >= 0)
		close(scan->pagemap);
}

/* The pagemap entry of a page of the region; NULL: it cannot be read. */
static const uint64_t *
entry(struct memory_scan *scan, uint64_t page)
{
	uint64_t pages = scan->region->size / PAGE_SIZE, wanted;
	ssize_t got;

	if (page < scan->first || page - scan->first >= scan->count) {
		wanted = pages - page < MEMORY_SCAN_PAGES ? pages - page : MEMORY_SCAN_PAGES;
		got = pread(scan->pagemap, scan->entries, wanted * sizeof(scan->entries[0]),
			    (off_t)(((uintptr_t)scan->region->host / PAGE_SIZE + page) *
				    sizeof(scan->entries[0])));
		scan->first = page;
		scan->count = got > 0 ? (uint64_t)got / sizeof(scan->entries[0]) : 0;
		if (!scan->count)
			return NULL;
	}
	return &scan->entries[page - scan->first];
}

/* Whether this process or the guest has touched the page; true if that is unknown. */
static bool
touched(struct memory_scan *scan, uint64_t page)
{
	const uint64_t *e = entry(scan, page);

	return !e || *e & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED);
}

/* Finds the extent or the hole of the file that begins at a page's region offset. */
static void
find_extent(struct memory_scan *scan, uint64_t at)
{
	off_t here = (off_t)(scan->region->file_offset + at);
	off_t data = lseek(scan->region->fd, here, SEEK_DATA), end;

	scan->known_begin = at;
	scan->known_end = scan->region->size;
	scan->known_data = data >= 0 || errno != ENXIO; /* ENXIO: a hole up to the end of file */
	if (data < 0)
		return;
	/* A page that contains some data counts as data. */
	if (data - here >= (off_t)PAGE_SIZE) {
		scan->known_data = false;
		scan->known_end = at + ((uint64_t)(data - here) & ~(uint64_t)(PAGE_SIZE - 1));
		return;
	}
	end = lseek(scan->region->fd, data, SEEK_HOLE);
	if (end >= 0)
		scan->known_end =
		    end - here > (off_t)PAGE_SIZE ? at + (uint64_t)(end - here) : at + PAGE_SIZE;
}

static bool
in_file(struct memory_scan *scan, uint64_t at)
{
	if (scan->region->fd < 0)
		return false;
	if (at < scan->known_begin || at >= scan->known_end)
		find_extent(scan, at);
	return scan->known_data;
}

uint32_t
memory_scan_pages(struct memory_scan *scan, uint64_t offset, uint32_t pages)
{
	uint32_t bits = 0;

	for (uint32_t i = 0; i < pages; i++)
		if (touched(scan, offset / PAGE_SIZE + i) ||
		    in_file(scan, offset + (uint64_t)i * PAGE_SIZE))
			bits |= 1u << i;
	return bits;
}

static inline void
set_bit(uint64_t *pages, uint64_t page)
{
	pages[page / 64] |= 1ull << page % 64;
}

bool
memory_private_pages(const struct memory *memory, uint64_t *pages)
{
	bool known = true;

	for (uint32_t i = 0; i < memory->count && known; i++) {
		const struct memory_region *region = &memory->regions[i];
		struct memory_scan scan;

		memory_scan_open(&scan, region);
		for (uint64_t page = 0; page < region->size / PAGE_SIZE && known; page++) {
			const uint64_t *e = entry(&scan, page);

			known = e != NULL;
			if (e && *e & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED) && !(*e & PAGEMAP_FILE))
				set_bit(pages, region->offset / PAGE_SIZE + page);
		}
		memory_scan_close(&scan);
	}
	return known;
}

void
memory_maybe_nonzero(const struct memory *memory, uint64_t *pages)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *region = &memory->regions[i];
		struct memory_scan scan;

		memory_scan_open(&scan, region);
		for (uint64_t page = 0; page < region->size / PAGE_SIZE; page++)
			if (memory_scan_pages(&scan, page * PAGE_SIZE, 1))
				set_bit(pages, region->offset / PAGE_SIZE + page);
		memory_scan_close(&scan);
	}
}
