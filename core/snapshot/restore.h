/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Restores a machine. Everything is checked before anything is built from it, so that the cost of
 * refusing a file is bounded by the file's size:
 *
 *     snapshot_config        the config; the caller applies --set
 *     snapshot_check         each section by itself and against the config
 *     snapshot_check_device  for each device, once it is configured and before the next one is
 *     snapshot_load          sections against the machine, then the state
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
/*
 * Checks that the snapshot has the sections of the config's machine, and each section by itself:
 * items, types, ranges, memory map. Allocates nothing.
 */
int snapshot_check(const struct snapshot *snapshot, const struct config *config);
/* Checks that the state of device index fits the plugin. */
int snapshot_check_device(const struct snapshot *snapshot, struct devices *devices, uint32_t index);
/* For a snapshot that has passed these. Checks that the state fits the machine, then loads it. The
 * machine is paused and stays so. */
int snapshot_load(const struct snapshot *snapshot, struct machine *machine,
		  struct devices *devices);
/* Loads the state again into a machine that snapshot_load has checked. For a reset. */
int snapshot_load_state(const struct snapshot *snapshot, struct machine *machine,
			struct devices *devices);

#endif
