/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: regions of guest physical addresses backed by host memory, and the one checked way
 * into them. The regions one after the other are the memory's image, in which
 * offsets and bitmaps of pages, a bit per page, count.
 */
#ifndef MACHINE_MEMORY_H
#define MACHINE_MEMORY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096u

typedef uint64_t gpa_t;

struct memory_region {
	gpa_t gpa;
	uint64_t size; /* bytes, whole pages */
	uint8_t *host;
	uint64_t offset; /* in the image */
	int fd;          /* the file that it is mapped from, the memory's own; -1: anonymous */
	uint64_t file_offset;
	bool shared; /* the mapping of fd is: what is written goes there */
};

#define MEMORY_REGIONS 4

struct memory {
	struct memory_region regions[MEMORY_REGIONS];
	uint32_t count;
	uint64_t size;      /* of all regions */
	char *created_file; /* path of a file that was not there before; NULL: none */
	atomic_uint_least64_t
	    *written; /* pages that the host's side wrote, since they were last taken */
};

/* Adds anonymous memory, or a shared mapping of a file of that length (made and sized when
 * missing), or a private one of fd. */
int memory_add(struct memory *memory, gpa_t gpa, uint64_t size);
int memory_add_file(struct memory *memory, gpa_t gpa, uint64_t size, const char *path,
		    uint64_t file_offset, uint64_t file_length);
int memory_add_private(struct memory *memory, gpa_t gpa, uint64_t size, int fd,
		       uint64_t file_offset);
/* Has the file of a region become too short for it? Its name, as far as it fits (size may be 0).
 * Touching what is gone is a SIGBUS. */
bool memory_truncated(const struct memory *memory, char *name, size_t size);
void memory_free(struct memory *memory);
/* Removes a file that memory_add_file made: for a machine that never ran. */
void memory_remove_file(struct memory *memory);

/* The host address of [gpa, gpa + length), or NULL when not all of it is in one region. */
void *memory_at(const struct memory *memory, gpa_t gpa, uint64_t length);
/* Is this a host address of guest memory? */
bool memory_has_host(const struct memory *memory, const void *host);
/* Checked copies; 0, or -1 when not all of it is memory (nothing copied). May cross regions that
 * touch. */
int memory_read(const struct memory *memory, gpa_t gpa, void *to, size_t length);
int memory_write(struct memory *memory, gpa_t gpa, const void *from, size_t length);
/*
 * Bytes of one region have been written from the host's side. After the write: who takes the bits
 * in between finds the page as it was, and the bit the next time. Any thread.
 */
void memory_mark_written(struct memory *memory, gpa_t gpa, uint64_t length);
/* Is all of it memory? */
bool memory_covers(const struct memory *memory, gpa_t gpa, uint64_t length);
/* Whole pages become zeros, and the host gets the memory back where it can. 0, or -1 as
 * memory_write. */
int memory_discard(struct memory *memory, gpa_t gpa, uint64_t length);

/* One of the count regions, in the order of the image. */
static inline const struct memory_region *
memory_region_at(const struct memory *memory, uint32_t index)
{
	return &memory->regions[index];
}
/* A page of the image, which there is. */
uint8_t *memory_page(const struct memory *memory, uint64_t page);
/* Words of a bitmap of the image's pages. */
static inline size_t
memory_words(const struct memory *memory)
{
	return (memory->size / PAGE_SIZE + 63) / 64;
}
/* Adds to a bitmap what the host's side has written since the last call. */
void memory_take_written(struct memory *memory, uint64_t *pages);
/* Adds the pages of private mappings that no longer are their file's: written by whomever since
 * they were mapped. Returns false where that can't be known. */
bool memory_private_pages(const struct memory *memory, uint64_t *pages);
/* Adds those that may hold something else than zeros. */
void memory_maybe_nonzero(const struct memory *memory, uint64_t *pages);
/* The files that memory is mapped from still have all of it. Says which has not; 0 or a negative
 * status. */
int memory_check_files(const struct memory *memory);

/*
 * Which pages of a region may hold something else than zeros, found without touching those that
 * never were: touching costs memory, and space where a file's hole is mapped. For ascending
 * offsets.
 */
#define MEMORY_SCAN_PAGES 4096u
struct memory_scan {
	const struct memory_region *region;
	int pagemap;
	uint64_t entries[MEMORY_SCAN_PAGES]; /* of /proc/self/pagemap */
	uint64_t first, count;               /* the pages they are of */
	uint64_t known_begin, known_end;     /* offsets: the file's data, or a hole of it */
	bool known_data;
};
void memory_scan_open(struct memory_scan *scan, const struct memory_region *region);
/* A bit for each of at most 32 pages from offset on; the first is bit 0. */
uint32_t memory_scan_pages(struct memory_scan *scan, uint64_t offset, uint32_t pages);
void memory_scan_close(struct memory_scan *scan);

#endif
