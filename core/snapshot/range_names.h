/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of address ranges in a snapshot: what was loaded where, and the ranges of the devices.
 * They are for people; nothing depends on them.
 *
 *     ranges  a list: name; space "memory", "mmio" or "pio"; at; size
 */
#ifndef SNAPSHOT_RANGE_NAMES_H
#define SNAPSHOT_RANGE_NAMES_H

#include "base/record.h"

struct devices;
struct machine;
struct memory;

void range_names_save(const struct machine *machine, const struct devices *devices,
		      struct record_writer *writer);
/* Checks that the record has the items above and no others. 0, or -1 with the reason in why. */
int range_names_valid(const struct record *record, struct why *why);
/* Notes the names of a restored machine's memory. record: has passed range_names_valid, or NULL. */
void range_names_load(struct memory *memory, const struct record *record);

#endif
