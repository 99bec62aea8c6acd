/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Resets a machine in place to the snapshot that it was restored from, or a branch to its
 * beginning: copies back the pages that the guest or devices have written since, and loads all
 * state. It creates no VM and reads no file.
 */
#ifndef SNAPSHOT_RESET_H
#define SNAPSHOT_RESET_H

#include "base/why.h"
#include "machine/dirty.h"
#include "machine/kept.h"
#include "snapshot/reader.h"

struct devices;
struct machine;

struct reset {
	const struct snapshot *snapshot;
	struct machine *machine;
	struct devices *devices;
	const uint8_t *image; /* the snapshot's memory, mapped (snapshot_map); NULL: kept has it */
	const struct kept_memory *kept; /* of a branch; else NULL */
	uint64_t *pages;                /* bitmap: written since the last reset; watch.pages */
	struct dirty_watch watch;
	bool known; /* pages is complete */
	/* reset_remember: the record of each section with state, in the order of the table. */
	struct reset_record {
		uint8_t *bytes;
		size_t length;
	} * records;
	size_t record_count;
	bool incomplete;       /* the check of the last reset has found a difference, */
	struct why difference; /* the first one: reset_difference */
};

/*
 * The machine was restored from snapshot; it may have run since. kept: the memory of the snapshot,
 * if the file has none; else NULL. The reset keeps the pointers. Returns 0 or a negative status.
 * Call reset_free in any case.
 */
int reset_init(struct reset *reset, const struct snapshot *snapshot, const struct kept_memory *kept,
	       struct machine *machine, struct devices *devices);
void reset_free(struct reset *reset);
/* Whether the memory of the snapshot is there. 0 or a negative status; nothing has changed. */
int reset_ready(const struct reset *reset);
/*
 * Resets a paused machine, which stays paused, and starts the devices with MINIVMM_RESET. Returns 0
 * or a negative status; after an error the machine must not run. Main thread.
 */
int reset_run(struct reset *reset);
/*
 * From now on, reset_run compares all memory with the snapshot, and all state of vCPUs, chips and
 * devices with the state that the restore has made, before it starts the devices. It sets
 * incomplete and the first difference. That state can differ from the file: KVM and devices do not
 * take all values as they are. Call it after the restore, before the first run. Returns 0 or a
 * negative status.
 */
int reset_remember(struct reset *reset);
/* The first difference that the check of the last reset has found; NULL: none. */
const char *reset_difference(const struct reset *reset);

#endif
