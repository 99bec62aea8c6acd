/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks all page tables of a vCPU (AMD64 Architecture Programmer's Manual, volume 2, 5). */
#include "snapshot/mappings.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define PRESENT (1u << 0)
#define LARGE (1u << 7)
#define TABLES_LEAST 4096u /* tables that a walk visits, beside one for each MiB of memory */

/* A walk. Entries have width bytes; a table has 2^bits of them. */
struct walk {
	const struct snapshot *snapshot;
	const struct paging *paging;
	struct mappings *found;
	struct mapping run; /* the last one, not yet in the list; size 0: none */
	size_t capacity, limit;
	uint64_t tables; /* that it may still visit */
	int failed;
};

/* Adds the last run to the list. */
static void
run_end(struct walk *w)
{
	struct mappings *found = w->found;

	if (!w->run.size || w->failed)
		return;
	if (found->count == w->limit) {
		found->whole = false;
		return;
	}
	if (found->count == w->capacity) {
		size_t capacity = w->capacity ? 2 * w->capacity : 64;
		struct mapping *list = realloc(found->list, capacity * sizeof(*list));

		if (!list) {
			w->failed = fail_memory("reading the page tables of %s", w->snapshot->path);
			return;
		}
		found->list = list;
		w->capacity = capacity;
	}
	found->list[found->count++] = w->run;
	w->run.size = 0;
}

/* Adds the part of a page that is in a region. */
static void
run_add(struct walk *w, const struct snapshot_region *region, uint64_t linear, gpa_t gpa,
	uint64_t size)
{
	struct mapping *run = &w->run;
	uint64_t skip = gpa < region->gpa ? region->gpa - gpa : 0, from, left;

	if (skip >= size || gpa + skip - region->gpa >= region->size)
		return;
	from = gpa + skip - region->gpa;
	left = region->size - from;
	size = size - skip < left ? size - skip : left;
	gpa += skip;
	linear += skip;
	if (run->size && run->linear + run->size == linear && run->gpa + run->size == gpa &&
	    gpa != region->gpa) {
		run->size += size;
		return;
	}
	run_end(w);
	*run = (struct mapping){ linear, gpa, size };
}

static void
add_page(struct walk *w, uint64_t linear, gpa_t gpa, uint64_t size)
{
	for (size_t i = 0; i < w->snapshot->region_count; i++)
		run_add(w, snapshot_region(w->snapshot, i), linear, gpa, size);
}

/* Reads a table; false: there is no memory. */
static bool
read_table(struct walk *w, gpa_t table, uint8_t *to, size_t size)
{
	if (snapshot_extent(w->snapshot, table) < size)
		return false;
	w->failed = snapshot_read(w->snapshot, table, to, size);
	return !w->failed;
}

/* Visits a table and those below it; level 0 has pages only. Recurses at most five deep. */
static void
visit(struct walk *w, gpa_t table, unsigned level, uint64_t linear)
{
	const struct paging *p = w->paging;
	uint32_t count = paging_entries(p, level);
	uint8_t entries[PAGE_SIZE];

	if (!w->tables) {
		w->found->whole = false;
		return;
	}
	w->tables--;
	if (!read_table(w, table, entries, (size_t)count * p->width))
		return;
	for (uint32_t i = 0; i < count && !w->failed && w->found->whole; i++) {
		unsigned shift = paging_shift(p, level);
		uint64_t entry = 0, at = paging_linear(p, linear | (uint64_t)i << shift);

		memcpy(&entry, entries + (size_t)i * p->width, p->width);
		if (!(entry & PRESENT))
			continue;
		if (!level || (paging_large(p, level) && entry & LARGE))
			add_page(w, at, paging_page(p, entry, shift), 1ull << shift);
		else
			visit(w, entry & PAGING_FRAME, level - 1, at);
	}
}

int
snapshot_mappings(const struct snapshot *snapshot, const struct snapshot_cpu *cpu, size_t limit,
		  struct mappings *mappings)
{
	const struct paging paging = paging_of(cpu);
	struct walk walk = { .snapshot = snapshot,
			     .paging = &paging,
			     .found = mappings,
			     .limit = limit,
			     .tables = TABLES_LEAST + (snapshot->header.memory_size >> 20) };

	*mappings = (struct mappings){ .whole = true };
	visit(&walk, paging.root, paging.levels - 1, 0);
	run_end(&walk);
	if (walk.failed) {
		free(mappings->list);
		*mappings = (struct mappings){ .whole = false };
	}
	return walk.failed;
}
