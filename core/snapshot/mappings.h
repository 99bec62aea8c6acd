/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the page tables of a vCPU map, in ascending order of linear addresses. The tables are
 * untrusted: a walk visits a number of them that is limited by the size of the memory.
 */
#ifndef SNAPSHOT_MAPPINGS_H
#define SNAPSHOT_MAPPINGS_H

#include "snapshot/linear.h"

/* A run of pages that are adjacent in linear and in physical memory, in one region. */
struct mapping {
	uint64_t linear;
	gpa_t gpa;
	uint64_t size; /* bytes */
};

/*
 * Plain data, owned: free(list). whole: false if there are more mappings, because their number or
 * that of the tables exceeds a limit.
 */
struct mappings {
	struct mapping *list;
	size_t count;
	bool whole;
};

/*
 * Finds the mappings of a vCPU that uses page tables; only those to memory that the snapshot has.
 * Needs the parents of a diff. limit: of list. Returns 0 or a negative status, reported; then the
 * list is empty.
 */
int snapshot_mappings(const struct snapshot *snapshot, const struct snapshot_cpu *cpu, size_t limit,
		      struct mappings *mappings);

#endif
