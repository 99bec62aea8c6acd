/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages have been written: by the guest, which KVM's dirty log tells, and by devices, which
 * memory_write notes. Everything that saves or puts back only what has changed asks here. One thread
 * at a time.
 *
 * The log is turned on when it is first needed: from then on the guest's first write to each page
 * after a look costs it a fault in the kernel. A look costs a copy of the log's bitmap, a bit per
 * page, whatever the size of pages that the host uses: so it fits into a stop of the machine.
 */
#ifndef MACHINE_DIRTY_H
#define MACHINE_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

struct machine;

/* Turns the log on, unless it is. What was written before is not known. 0 or a negative status. */
int dirty_start(struct machine *machine);
bool dirty_on(const struct machine *machine);
/* Adds to a bitmap of the memory's image what has been written since the last look. */
int dirty_look(struct machine *machine, uint64_t *pages);
/* With the config's dirty_log: all pages that the guest has written so far; else NULL. */
const uint64_t *dirty_guest(const struct machine *machine);
void dirty_free(struct machine *machine);

#endif
