/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads snapshot files, alone or with the parents that they differ from: sections, memory,
 * checksums. A file is untrusted: opening it checks all of its metadata, and needs time and memory
 * in proportion to its size.
 */
#ifndef SNAPSHOT_READER_H
#define SNAPSHOT_READER_H

#include "base/record.h"
#include "snapshot/format.h"

struct snapshot_region {
	gpa_t gpa;
	uint64_t size, offset; /* offset: from the start of the memory image */
};

/* An open file whose metadata is checked: every record in it is safe to walk. */
struct snapshot {
	char *path;
	int fd;        /* -1: none */
	bool received; /* from a pipe: path names no file */
	struct snapshot_header header;
	uint8_t *meta; /* malloced */
	const struct snapshot_row *rows;
	struct record *sections; /* by row; data is NULL for raw and unknown ones */
	struct snapshot_region regions[MEMORY_REGIONS];
	size_t region_count;
	const uint8_t *sums;     /* unaligned u32s */
	const uint8_t *pages;    /* one bit per page: this file holds it; NULL: it holds all */
	struct snapshot *parent; /* ours, opened; NULL: it has none, or was opened alone */
};

/*
 * Open a file and check it; each reports errors. open takes the file alone; open_chain opens its
 * parents too: each is looked up by id in the other paths, then by the name that it had in the
 * child's folder. 0 or a negative status; close in any case, which closes the parents too.
 */
int snapshot_open(struct snapshot *snapshot, const char *path);
int snapshot_open_chain(struct snapshot *snapshot, const char *path, char *const *others,
			size_t other_count);
/* Opens the parents of an open snapshot. */
int snapshot_open_parents(struct snapshot *snapshot, char *const *others, size_t other_count);
/* As snapshot_open, for a descriptor, which the snapshot then owns; name is for messages. */
int snapshot_open_fd(struct snapshot *snapshot, int fd, const char *name);
/*
 * Reads a stream (format.h) from a pipe or a socket to its end, into memory, and verifies it. The
 * descriptor stays the caller's. Blocks.
 */
int snapshot_receive(struct snapshot *snapshot, int fd, const char *name);
void snapshot_close(struct snapshot *snapshot);
bool snapshot_has_parent(const struct snapshot *snapshot);
/* The id in a file's header; false: it can't be read. Reports nothing. */
bool snapshot_peek_id(const char *path, uint8_t id[16]);

/*
 * Checks metadata that is in a buffer: header, table and sections of a file of file_size bytes.
 * meta is malloced; the snapshot owns it from here on. Returns 0, or -1 with the reason in why.
 * This is a part of snapshot_open that tests call on its own. Close in any case.
 */
int snapshot_parse(struct snapshot *snapshot, uint8_t *meta, size_t length, uint64_t file_size,
		   struct why *why);

/* The section, or NULL. Sections of one tag are numbered from 0 without gaps. */
const struct record *snapshot_section(const struct snapshot *snapshot, uint32_t tag,
				      uint32_t index);
/* How many sections have the tag. */
uint32_t snapshot_section_count(const struct snapshot *snapshot, uint32_t tag);

/* One of the region_count regions. */
static inline const struct snapshot_region *
snapshot_region(const struct snapshot *snapshot, size_t index)
{
	return &snapshot->regions[index];
}

/* Is this page of the memory image in this file, and not in a parent's? */
static inline bool
snapshot_holds(const struct snapshot *snapshot, uint64_t page)
{
	return !snapshot->pages || snapshot->pages[page / 8] >> page % 8 & 1;
}

/* Reads bytes of the file; reports errors. */
int snapshot_pread(const struct snapshot *snapshot, void *to, size_t length, uint64_t offset);

/*
 * What one checksum covers: SNAPSHOT_CHUNK bytes, or less at the end of a region. Start with all
 * zeros.
 */
struct snapshot_chunk {
	size_t region;
	uint64_t number, next; /* next: offset in the region */
	gpa_t gpa;
	uint64_t file_offset;
	size_t size;
	uint32_t sum;
};
bool snapshot_chunk_next(const struct snapshot *snapshot, struct snapshot_chunk *chunk);
/* Reads the chunk's memory into buffer (SNAPSHOT_CHUNK bytes). Reports errors. */
int snapshot_chunk_read(const struct snapshot *snapshot, const struct snapshot_chunk *chunk,
			uint8_t *buffer);

/*
 * Reads memory by guest physical address, from parents where necessary; all of it must be in one
 * region. Memory that is zero by its checksums is not read from the file. Reports errors.
 */
int snapshot_read(const struct snapshot *snapshot, gpa_t gpa, void *to, size_t length);

/*
 * Maps the memory image, parents' pages included, for reading. The image of a single file is a
 * shared mapping of the file. Unmap it with munmap. Reports errors.
 */
int snapshot_map(const struct snapshot *snapshot, const uint8_t **image);
/* Is this page of the image zero by the checksums? */
bool snapshot_page_zero(const struct snapshot *snapshot, uint64_t page);

/*
 * Reads all of the file's memory and compares the checksums. Reports which chunks are damaged. 0 or
 * a negative status.
 */
int snapshot_verify(const struct snapshot *snapshot);
/*
 * Calls run(gpa, bytes) for each run of pages that are not all zero; of a snapshot with a parent,
 * for each run of pages that are in this file. 0 or a negative status.
 */
int snapshot_runs(const struct snapshot *snapshot,
		  void (*run)(void *context, gpa_t gpa, uint64_t size), void *context);
/*
 * Calls run(gpa, bytes) for each run of pages that both snapshots have and that differ. 0 or a
 * negative status.
 */
int snapshot_compare(const struct snapshot *a, const struct snapshot *b,
		     void (*run)(void *context, gpa_t gpa, uint64_t size), void *context);

#endif
