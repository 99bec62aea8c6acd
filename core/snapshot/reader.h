/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads snapshot files: sections, memory, checksums; a diff with its parents. A file is untrusted:
 * opening it checks all of its metadata, and takes time and memory in proportion to its size.
 */
#ifndef SNAPSHOT_READER_H
#define SNAPSHOT_READER_H

#include "base/record.h"
#include "snapshot/format.h"

struct snapshot_region {
	gpa_t gpa;
	uint64_t size, offset; /* offset: from the start of the memory image */
};

/* An open file with checked metadata: every record in it is safe to walk. */
struct snapshot {
	char *path;
	int fd;        /* -1: not open */
	bool received; /* from a stream: path is not a file */
	struct snapshot_header header;
	uint8_t *meta; /* malloced */
	const struct snapshot_row *rows;
	struct record *sections;       /* by row; data is NULL for raw and unknown sections */
	const struct record **by_kind; /* the known sections, of each kind by index */
	struct {
		uint32_t first, count; /* in by_kind */
	} kinds[SECTION_KINDS_MAX];    /* by row of the table of sections */
	struct snapshot_region regions[MEMORY_REGIONS];
	size_t region_count;
	const uint8_t *sums;     /* unaligned u32s */
	const uint8_t *pages;    /* bitmap: pages that this file holds; NULL: all */
	struct snapshot *parent; /* open, owned; NULL: it has none, or is not open */
};

/*
 * Open a file and check it. snapshot_open opens the file alone. snapshot_open_chain also opens its
 * parents: it finds each by id, first among the other paths, then in the child's folder by the name
 * it had when the child was written. Both return 0 or a negative status, reported. Call
 * snapshot_close in any case; it closes the parents too.
 */
int snapshot_open(struct snapshot *snapshot, const char *path);
int snapshot_open_chain(struct snapshot *snapshot, const char *path, char *const *others,
			size_t other_count);
/* Opens the parents of an open snapshot. */
int snapshot_open_parents(struct snapshot *snapshot, char *const *others, size_t other_count);
/* As snapshot_open, for a descriptor, which the snapshot owns from here on. name is for messages.
 */
int snapshot_open_fd(struct snapshot *snapshot, int fd, const char *name);
/*
 * Opens the snapshot behind a descriptor: a snapshot file, or a pipe or a socket with a stream
 * (format.h) or the bytes of a file, which are read into memory and verified. The
 * caller keeps the descriptor. Blocks. Returns 0 or a negative status, reported.
 */
int snapshot_receive(struct snapshot *snapshot, int fd, const char *name);
/*
 * Opens what a machine has saved into meta, and adds its memory map. It has no file: the memory
 * cannot be read. name is for messages. 0 or a negative status, reported; call snapshot_close in
 * any case. Takes what is in meta.
 */
struct snapshot_meta;
int snapshot_open_saved(struct snapshot *snapshot, struct snapshot_meta *meta,
			const struct memory *memory, const char *name);
void snapshot_close(struct snapshot *snapshot);
bool snapshot_has_parent(const struct snapshot *snapshot);
/* Reads the id in a file's header. False: there is no readable snapshot. Reports nothing. */
bool snapshot_peek_id(const char *path, uint8_t id[16]);

/*
 * Parses and checks metadata: header, table and sections of a file of file_size bytes. meta is
 * malloced; the snapshot owns it from here on. Returns 0, or -1 with the reason in why. Call
 * snapshot_close in any case. snapshot_open calls this; so do tests.
 */
int snapshot_parse(struct snapshot *snapshot, uint8_t *meta, size_t length, uint64_t file_size,
		   struct why *why);

/* Returns the section's record, or NULL. Sections of one tag are numbered from 0 without gaps. */
const struct record *snapshot_section(const struct snapshot *snapshot, uint32_t tag,
				      uint32_t index);
/* Returns the number of sections with the tag. */
uint32_t snapshot_section_count(const struct snapshot *snapshot, uint32_t tag);

/* index: less than region_count. */
static inline const struct snapshot_region *
snapshot_region(const struct snapshot *snapshot, size_t index)
{
	return &snapshot->regions[index];
}

/* Is this page of the memory image in this file, not in a parent's? */
static inline bool
snapshot_holds(const struct snapshot *snapshot, uint64_t page)
{
	return !snapshot->pages || snapshot->pages[page / 8] >> page % 8 & 1;
}

/* Reads bytes of the file. Returns 0 or a negative status, reported. */
int snapshot_pread(const struct snapshot *snapshot, void *to, size_t length, uint64_t offset);

/*
 * The memory that one checksum covers: SNAPSHOT_CHUNK bytes, or less at the end of a region. To
 * iterate, start with all zeros.
 */
struct snapshot_chunk {
	size_t region;
	uint64_t number, next; /* next: offset of the next chunk in the region */
	gpa_t gpa;
	uint64_t file_offset;
	size_t size;
	uint32_t sum;
};
/* Steps to the next chunk. False: there are no more. */
bool snapshot_chunk_next(const struct snapshot *snapshot, struct snapshot_chunk *chunk);
/* Reads the chunk into buffer (SNAPSHOT_CHUNK bytes). Returns 0 or a negative status, reported. */
int snapshot_chunk_read(const struct snapshot *snapshot, const struct snapshot_chunk *chunk,
			uint8_t *buffer);

/* The number of bytes from an address to the end of its region; 0: there is no memory. */
uint64_t snapshot_extent(const struct snapshot *snapshot, gpa_t gpa);
/* Is there memory at an address, and does this file or an open parent hold its page? */
bool snapshot_has(const struct snapshot *snapshot, gpa_t gpa);
/*
 * Reads memory by guest physical address, from parents where necessary. The range must be in one
 * region. Memory that is zero by its checksums is not read from the file. Returns 0 or a negative
 * status, reported.
 */
int snapshot_read(const struct snapshot *snapshot, gpa_t gpa, void *to, size_t length);

/*
 * Reads the pages of a diff and of its parents, parents first, over a mapping of the first file's
 * image; nothing for a single file. page_at returns the address of a page of the image. Where all
 * files have a hole, nothing is read and no memory is touched. Returns 0 or a negative status,
 * reported.
 */
int snapshot_overlay(const struct snapshot *snapshot, uint8_t *(*page_at)(const void *, uint64_t),
		     const void *context);
/*
 * Maps the memory image, with the parents' pages, for reading. The image of a single file is a
 * shared mapping of the file. The caller unmaps it: munmap(image, header.memory_size). Returns 0 or
 * a negative status, reported.
 */
int snapshot_map(const struct snapshot *snapshot, const uint8_t **image);
/*
 * Are whole pages of a region zero, as can be said without reading them: by their checksums, or, in
 * a single file, as a hole of the file?
 */
bool snapshot_known_zero(const struct snapshot *snapshot, gpa_t gpa, size_t length);
/* Is this page of the memory image zero by its checksums? */
bool snapshot_page_zero(const struct snapshot *snapshot, uint64_t page);

/*
 * Reads all memory of the file and compares the checksums. Reports damaged chunks. Returns 0 or a
 * negative status.
 */
int snapshot_verify(const struct snapshot *snapshot);
/*
 * Calls run(context, gpa, bytes) for each run of pages with data; for a snapshot with a parent, for
 * each run of pages that are in this file, zero or not. Returns 0 or a negative status, reported.
 */
int snapshot_runs(const struct snapshot *snapshot,
		  void (*run)(void *context, gpa_t gpa, uint64_t size), void *context);
enum snapshot_kind {
	SNAPSHOT_ZERO,   /* all bytes are zero */
	SNAPSHOT_DATA,   /* in this file */
	SNAPSHOT_PARENT, /* in a parent: shared with it */
	SNAPSHOT_KINDS,
};
/*
 * Calls run(context, gpa, bytes, kind) for all memory in ascending order of the image, in runs of
 * pages of one kind. Needs the parents. Returns 0 or a negative status, reported.
 */
int snapshot_kinds(const struct snapshot *snapshot,
		   void (*run)(void *context, gpa_t gpa, uint64_t size, enum snapshot_kind kind),
		   void *context);
/*
 * Calls run(context, gpa, bytes) for each run of pages that exist in both snapshots and differ.
 * Returns 0 or a negative status, reported.
 */
int snapshot_compare(const struct snapshot *a, const struct snapshot *b,
		     void (*run)(void *context, gpa_t gpa, uint64_t size), void *context);

#endif
