/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: regions of guest physical addresses backed by host memory, and checked access to
 * them. The image is all regions one after the other. Page numbers, bitmaps (one bit per page) and
 * region offsets refer to the image.
 */
#ifndef MACHINE_MEMORY_H
#define MACHINE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/made_file.h"

#define PAGE_SIZE 4096u

typedef uint64_t gpa_t;

struct memory_region {
	gpa_t gpa;
	uint64_t size; /* bytes, whole pages */
	uint8_t *host;
	uint64_t offset; /* in the image */
	int fd;          /* the file that it is mapped from, owned; -1: anonymous */
	uint64_t file_offset;
	bool shared; /* MAP_SHARED: writes go to the file */
};

#define MEMORY_REGIONS 4
#define MEMORY_NAMES 64 /* further names are ignored */

/* What a range of memory is for, to show to people. */
struct memory_name {
	char text[64];
	gpa_t gpa;
	uint64_t size;
};

struct memory {
	struct memory_region regions[MEMORY_REGIONS];
	uint32_t count;
	uint64_t size; /* of all regions */
	/* Pages that the host wrote since the last memory_take_written. */
	atomic_uint_least64_t *written;
	struct memory_name names[MEMORY_NAMES];
	uint32_t name_count;
	gpa_t reserved; /* see memory_reserve; size 0: none */
	uint64_t reserved_size;
};

/*
 * Add a region of size bytes: anonymous memory; a shared mapping of a file that has file_length
 * bytes, which is created if it is missing or empty, and which no other machine uses (all regions
 * have one file; made: see file_open_own); or a private mapping of fd, which stays the caller's.
 * gpa and size are multiples of PAGE_SIZE; regions must not overlap. 0 or a negative status. Main
 * thread, before a vCPU runs.
 */
int memory_add(struct memory *memory, gpa_t gpa, uint64_t size);
int memory_add_file(struct memory *memory, gpa_t gpa, uint64_t size, const char *path,
		    uint64_t file_offset, uint64_t file_length, struct made_files *made);
int memory_add_private(struct memory *memory, gpa_t gpa, uint64_t size, int fd,
		       uint64_t file_offset);
/* Adds a private region of the process that has forked this one, and owns it from here on. 0 or a
 * negative status. Main thread. */
int memory_add_inherited(struct memory *memory, const struct memory_region *region);
/* Whether the file of a region has become too short, so that an access causes SIGBUS. Stores the
 * file's name, truncated to size bytes (may be 0). Any thread. */
bool memory_truncated(const struct memory *memory, char *name, size_t size);
void memory_free(struct memory *memory);

/* The host address of [gpa, gpa + length), or NULL if it is not inside one region. */
void *memory_at(const struct memory *memory, gpa_t gpa, uint64_t length);
/* Checked copies of length bytes, also across adjacent regions. 0, or -1 if a part is not memory;
 * nothing is copied then. memory_write marks the pages written. Any thread. */
int memory_read(const struct memory *memory, gpa_t gpa, void *to, size_t length);
int memory_write(struct memory *memory, gpa_t gpa, const void *from, size_t length);
/*
 * Records that the host has written bytes of one region; length is not 0. Call it after the write:
 * if the mark came first, a poll in between would take the bit with the old page and lose the
 * write. Any thread.
 */
void memory_mark_written(struct memory *memory, gpa_t gpa, uint64_t length);
/* Whether all of [gpa, gpa + length) is memory. */
bool memory_covers(const struct memory *memory, gpa_t gpa, uint64_t length);
/* Zeroes whole pages, and frees them on the host where possible. 0, or -1 if a part is not memory
 * or not whole pages. Any thread. */
int memory_discard(struct memory *memory, gpa_t gpa, uint64_t length);

/*
 * Names a range: "initrd", with the name of its file or NULL. Ranges may overlap. The names do not
 * affect the guest; a snapshot contains them. Main thread.
 */
void memory_note(struct memory *memory, const char *what, const char *file, gpa_t gpa,
		 uint64_t size);
/* Reserves addresses that are not memory in the memory map that kernels get; one range. Main
 * thread, before a kernel is loaded. */
void memory_reserve(struct memory *memory, gpa_t gpa, uint64_t size);
/* The name with an index below name_count. */
static inline const struct memory_name *
memory_name_at(const struct memory *memory, uint32_t index)
{
	return &memory->names[index];
}

/* The region with an index below count, in the order of the image. */
static inline const struct memory_region *
memory_region_at(const struct memory *memory, uint32_t index)
{
	return &memory->regions[index];
}
/* Whether [base, base + length) overlaps a region; stores the region's end. The sum may be above
 * 2^64. */
bool memory_overlaps(const struct memory *memory, gpa_t base, uint64_t length, gpa_t *end);
/* The host address of a page of the image; page must exist. */
uint8_t *memory_page(const struct memory *memory, uint64_t page);
/* The number of 64-bit words of a bitmap of the image. */
static inline size_t
memory_words(const struct memory *memory)
{
	return (memory->size / PAGE_SIZE + 63) / 64;
}
/* The part of a word of a bitmap that lies in one region. Start with the number of the word. */
struct memory_word {
	size_t word;
	uint32_t region; /* the next to look at */
	uint64_t first;  /* the first page */
	uint64_t mask;   /* a bit for each page, from bit 0 on */
	uint8_t *host;   /* of the first page; the others follow */
};
/* Steps through the parts. False: no more. */
bool memory_word_next(const struct memory *memory, struct memory_word *part);
/* Sets the bits of the pages that the host has written since the last call. Any thread. */
void memory_take_written(struct memory *memory, uint64_t *pages);
/* Sets the bits of the pages that are no longer backed by the file of a private mapping, because
 * guest or host has written them. False: /proc/self/pagemap cannot be read. */
bool memory_private_pages(const struct memory *memory, uint64_t *pages);
/* Sets the bits of the pages that may not be zero. */
void memory_maybe_nonzero(const struct memory *memory, uint64_t *pages);
/* Checks that no file of guest memory was truncated; logs which. 0 or a negative status. */
int memory_check_files(const struct memory *memory);

/*
 * Finds the pages of a region that may not be zero without touching untouched pages. Touching a
 * page costs memory, and disk space where a hole of a file is mapped. Scan in ascending order: the
 * buffer holds one part of the pagemap.
 */
#define MEMORY_SCAN_PAGES 4096u
struct memory_scan {
	const struct memory_region *region;
	int pagemap;
	uint64_t entries[MEMORY_SCAN_PAGES]; /* of /proc/self/pagemap */
	uint64_t first, count;               /* the region's pages that they belong to */
	uint64_t known_begin, known_end;     /* region offsets: one extent or hole of the file */
	bool known_data;                     /* it is an extent of data */
};
void memory_scan_open(struct memory_scan *scan, const struct memory_region *region);
/* The bits of up to 32 pages from offset (bytes in the region) on; bit 0 is the first. 1: may not
 * be zero. */
uint32_t memory_scan_pages(struct memory_scan *scan, uint64_t offset, uint32_t pages);
void memory_scan_close(struct memory_scan *scan);

#endif
