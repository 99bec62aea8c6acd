/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Restores a machine in two steps: first the config, to which the caller applies --set; then, after
 * machine and devices are built from it, the state.
 */
#ifndef SNAPSHOT_RESTORE_H
#define SNAPSHOT_RESTORE_H

#include "config/config.h"
#include "snapshot/reader.h"

struct devices;
struct machine;

/* All return 0 or a negative status, reported. Main thread. */

/* Loads the config into an empty struct. */
int snapshot_config(const struct snapshot *snapshot, struct config *config);
/* Checks that the state fits the machine, then loads it. The machine is paused and stays so. */
int snapshot_load(const struct snapshot *snapshot, struct machine *machine,
		  struct devices *devices);
/* Loads the state again into a machine that snapshot_load has checked. For a reset. */
int snapshot_load_state(const struct snapshot *snapshot, struct machine *machine,
			struct devices *devices);

#endif
