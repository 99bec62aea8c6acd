/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Restore, in two steps: the config (into an empty struct, to which the caller applies --set);
 * then, when machine and devices are built from it, the state.
 */
#ifndef SNAPSHOT_RESTORE_H
#define SNAPSHOT_RESTORE_H

#include "config/config.h"
#include "snapshot/reader.h"

struct devices;
struct machine;

/* 0 or a negative status. */
int snapshot_config(const struct snapshot *snapshot, struct config *config);
/* Checks that the state fits the machine before it changes anything. Leaves the machine paused. */
int snapshot_load(const struct snapshot *snapshot, struct machine *machine,
		  struct devices *devices);
/* Loads the state again into a machine that snapshot_load has checked: for a reset. */
int snapshot_load_state(const struct snapshot *snapshot, struct machine *machine,
			struct devices *devices);

#endif
