/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The map of a snapshot's memory: what each part of the address space is, and which pages hold
 * data, at several scales. Its size does not depend on that of the memory.
 */
#ifndef CLI_MAP_H
#define CLI_MAP_H

#include <stdio.h>

#include "snapshot/reader.h"

#define MAP_COLUMNS 64u /* cells of a row */
#define MAP_ROWS 16u    /* of a view, at most */
#define MAP_VIEWS (MEMORY_REGIONS + 2)
#define MAP_LABELS 256u /* more names are counted */

/* A piece of memory: the number of pages of each kind. */
struct map_cell {
	uint64_t pages[SNAPSHOT_KINDS];
};

/* A range of memory, in cells of the same size. The last cell may be shorter. */
struct map_view {
	gpa_t from;
	uint64_t size, cell; /* bytes; cell: a power of two */
	size_t count;        /* of cells */
	struct map_cell *cells;
};

enum map_space { MAP_MEMORY, MAP_MMIO, MAP_PORTS };

/* A named range of addresses. */
struct map_label {
	enum map_space space;
	uint64_t first, last;
	bool region;   /* one of the regions of memory */
	char text[80]; /* untrusted bytes */
};

struct map {
	const struct snapshot *snapshot;
	uint64_t pages[SNAPSHOT_KINDS];   /* of all memory */
	struct map_view views[MAP_VIEWS]; /* the regions, then parts of the first one, closer */
	size_t view_count;
	struct map_label labels[MAP_LABELS]; /* by space and address; of two, the larger first */
	size_t label_count, left_out;
};

/* Reads the snapshot, which must have its parents. 0 or a negative status; map_free in any case. */
int map_make(struct map *map, const struct snapshot *snapshot);
void map_free(struct map *map);

/* How full a cell is of data of one kind: 0 none, 1 less than a quarter, up to 4 all. */
unsigned map_level(const struct map_cell *cell, enum snapshot_kind kind);
/* The label after *position that begins in [first, last] of memory, other than regions; NULL: no
 * more. Start with 0. */
const struct map_label *map_label_in(const struct map *map, size_t *position, uint64_t first,
				     uint64_t last);
/* "4M", "512 bytes", "63.9G": the size of this many pages, rounded down. Returns buffer. */
const char *map_pages_size(uint64_t pages, char *buffer, size_t size);
/* "4M", "512 bytes": the size of a label's range. Returns buffer. */
const char *map_label_size(const struct map_label *label, char *buffer, size_t size);

void map_text(FILE *out, const struct map *map);
/* 0 or a negative status. */
int map_svg(FILE *out, const struct map *map);

#endif
