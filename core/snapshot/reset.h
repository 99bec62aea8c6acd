/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Putting a machine back to the snapshot that it was restored from, in place: the pages that have
 * been written since, by the guest or by devices, and all state. No VM is made, nothing is read
 * anew.
 */
#ifndef SNAPSHOT_RESET_H
#define SNAPSHOT_RESET_H

#include "base/why.h"
#include "machine/dirty.h"
#include "snapshot/capture.h"

struct reset {
	const struct snapshot *snapshot;
	struct machine *machine;
	struct devices *devices;
	const uint8_t *golden; /* the image of its memory, mapped: shared by all who map the file */
	uint64_t *pages;       /* written since the last reset: the watch's */
	struct dirty_watch watch;
	bool known; /* pages has all of them */
};

/* The machine was restored from the snapshot. Before or after it first runs; 0 or a negative
 * status; free in any case. */
int reset_init(struct reset *reset, const struct snapshot *snapshot, struct machine *machine,
	       struct devices *devices);
void reset_free(struct reset *reset);
/* The machine is paused, and stays so. Devices are started, with MINIVMM_RESET. 0 or a negative
 * status, after which the machine is unfit to go on. Main thread. */
int reset_run(struct reset *reset);
/*
 * After reset_run: compares all of memory, of every vCPU's, chip's and device's state with the
 * snapshot. Returns 0, or -1 with the first difference in why.
 */
int reset_check(struct reset *reset, struct why *why);

#endif
