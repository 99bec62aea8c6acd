/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages have been written: by the guest, which KVM's dirty log tells, and by devices, which
 * memory_write notes. Everything that saves or puts back only what has changed asks here. One
 * thread at a time.
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

/* Somebody who wants to know of all pages that are written, whoever looks. */
struct dirty_watch {
	uint64_t *pages; /* a bitmap of the image: looks add to it, its owner clears it */
	struct dirty_watch *next;
};

/* Turns the log on, unless it is. What was written before is not known. 0 or a negative status. */
int dirty_start(struct machine *machine);
bool dirty_on(const struct machine *machine);
/* Adds to every watch, and to a bitmap of the image (NULL: to none), what has been written since
 * the last look. */
int dirty_poll(struct machine *machine, uint64_t *pages);
/* Adds these pages to every watch: the caller has written them, past log and memory_write. */
void dirty_mark(struct machine *machine, const uint64_t *pages);
/* The bitmap is the watcher's; remove before it goes. Removing what is not there does nothing. */
void dirty_watch_add(struct machine *machine, struct dirty_watch *watch);
void dirty_watch_remove(struct machine *machine, struct dirty_watch *watch);
/* With the config's dirty_log: all pages that the guest has written so far; else NULL. */
const uint64_t *dirty_guest(const struct machine *machine);
void dirty_free(struct machine *machine);

#endif
