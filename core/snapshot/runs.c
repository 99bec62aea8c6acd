/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds runs of pages in snapshots: with data, or different in two snapshots. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "snapshot/reader.h"

/* The current run. A page that does not follow it ends it. */
struct run {
	void (*run)(void *context, gpa_t gpa, uint64_t size);
	void *context;
	gpa_t gpa;
	uint64_t size;
};

static void
run_end(struct run *run)
{
	if (run->size)
		run->run(run->context, run->gpa, run->size);
	run->size = 0;
}

static void
run_add(struct run *run, gpa_t gpa)
{
	if (run->gpa + run->size != gpa)
		run_end(run);
	if (!run->size)
		run->gpa = gpa;
	run->size += PAGE_SIZE;
}

/* Runs of pages that are in the file, zero or not. */
static void
runs_of_pages(const struct snapshot *snapshot, struct run *run)
{
	for (size_t i = 0; i < snapshot->region_count; i++)
		for (uint64_t at = 0; at < snapshot->regions[i].size; at += PAGE_SIZE) {
			uint64_t page = (snapshot->regions[i].offset + at) / PAGE_SIZE;

			if (snapshot_holds(snapshot, page))
				run_add(run, snapshot->regions[i].gpa + at);
		}
}

int
snapshot_runs(const struct snapshot *snapshot, void (*run)(void *context, gpa_t gpa, uint64_t size),
	      void *context)
{
	struct snapshot_chunk chunk = { 0 };
	struct run current = { .run = run, .context = context };
	uint8_t *buffer = malloc(SNAPSHOT_CHUNK);
	int failed = 0;

	if (!buffer)
		return fail_memory("reading %s", snapshot->path);
	if (snapshot->pages)
		runs_of_pages(snapshot, &current);
	while (!snapshot->pages && !failed && snapshot_chunk_next(snapshot, &chunk)) {
		if (snapshot_known_zero(snapshot, chunk.gpa, chunk.size))
			continue;
		failed = snapshot_chunk_read(snapshot, &chunk, buffer);
		for (size_t at = 0; !failed && at < chunk.size; at += PAGE_SIZE)
			if (!snapshot_zero(buffer + at, PAGE_SIZE))
				run_add(&current, chunk.gpa + at);
	}
	run_end(&current);
	free(buffer);
	return failed;
}

/* The current run of pages of one kind. */
struct kind_run {
	void (*run)(void *context, gpa_t gpa, uint64_t size, enum snapshot_kind kind);
	void *context;
	enum snapshot_kind kind;
	gpa_t gpa;
	uint64_t size;
};

static void
kind_add(struct kind_run *run, gpa_t gpa, uint64_t size, enum snapshot_kind kind)
{
	if (run->size && (run->kind != kind || run->gpa + run->size != gpa)) {
		run->run(run->context, run->gpa, run->size, run->kind);
		run->size = 0;
	}
	if (!run->size) {
		run->gpa = gpa;
		run->kind = kind;
	}
	run->size += size;
}

/* buffer: SNAPSHOT_CHUNK bytes. */
static int
kinds_of_region(const struct snapshot *snapshot, const struct snapshot_region *region,
		struct kind_run *run, uint8_t *buffer)
{
	for (uint64_t at = 0, step; at < region->size; at += step) {
		int failed;

		step = region->size - at < SNAPSHOT_CHUNK ? region->size - at : SNAPSHOT_CHUNK;
		if (snapshot_known_zero(snapshot, region->gpa + at, step)) {
			kind_add(run, region->gpa + at, step, SNAPSHOT_ZERO);
			continue;
		}
		failed = snapshot_read(snapshot, region->gpa + at, buffer, step);
		if (failed)
			return failed;
		for (uint64_t page = 0; page < step; page += PAGE_SIZE) {
			bool held =
			    snapshot_holds(snapshot, (region->offset + at + page) / PAGE_SIZE);

			kind_add(run, region->gpa + at + page, PAGE_SIZE,
				 snapshot_zero(buffer + page, PAGE_SIZE) ? SNAPSHOT_ZERO
				 : held                                  ? SNAPSHOT_DATA
									 : SNAPSHOT_PARENT);
		}
	}
	return 0;
}

int
snapshot_kinds(const struct snapshot *snapshot,
	       void (*run)(void *context, gpa_t gpa, uint64_t size, enum snapshot_kind kind),
	       void *context)
{
	struct kind_run current = { .run = run, .context = context };
	uint8_t *buffer = malloc(SNAPSHOT_CHUNK);
	int failed = 0;

	if (!buffer)
		return fail_memory("reading %s", snapshot->path);
	for (size_t i = 0; i < snapshot->region_count && !failed; i++)
		failed = kinds_of_region(snapshot, &snapshot->regions[i], &current, buffer);
	if (current.size)
		run(context, current.gpa, current.size, current.kind);
	free(buffer);
	return failed;
}

/* buffers: two of SNAPSHOT_CHUNK bytes. */
static int
compare_region(struct run *run, const struct snapshot *a, const struct snapshot *b,
	       const struct snapshot_region *region, uint8_t *buffers)
{
	int failed;

	for (uint64_t at = 0, step; at < region->size; at += step) {
		gpa_t gpa = region->gpa + at;
		uint64_t there = snapshot_extent(b, gpa);

		step = region->size - at;
		step = step < SNAPSHOT_CHUNK ? step : SNAPSHOT_CHUNK;
		if (!there)
			step = PAGE_SIZE;
		else if (there < step)
			step = there;
		if (!there)
			continue;
		if (snapshot_known_zero(a, gpa, step) && snapshot_known_zero(b, gpa, step))
			continue;
		failed = snapshot_read(a, gpa, buffers, step);
		if (!failed)
			failed = snapshot_read(b, gpa, buffers + SNAPSHOT_CHUNK, step);
		if (failed)
			return failed;
		for (uint64_t page = 0; page < step; page += PAGE_SIZE)
			if (memcmp(buffers + page, buffers + SNAPSHOT_CHUNK + page, PAGE_SIZE))
				run_add(run, gpa + page);
	}
	return 0;
}

int
snapshot_compare(const struct snapshot *a, const struct snapshot *b,
		 void (*run)(void *context, gpa_t gpa, uint64_t size), void *context)
{
	struct run current = { .run = run, .context = context };
	uint8_t *buffers = malloc(2 * SNAPSHOT_CHUNK);
	int failed = 0;

	if (!buffers)
		return fail_memory("comparing the memory of %s and %s", a->path, b->path);
	for (size_t i = 0; i < a->region_count && !failed; i++)
		failed = compare_region(&current, a, b, &a->regions[i], buffers);
	run_end(&current);
	free(buffers);
	return failed;
}
