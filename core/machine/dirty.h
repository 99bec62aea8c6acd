/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The written pages of guest memory. KVM's dirty log records guest writes; memory_mark_written
 * records device writes. Code that saves or restores only changed pages uses this module. One
 * thread at a time may call it.
 *
 * The dirty log is off until it is first needed. Once it is on, the guest's first write to each
 * page after a poll costs a fault in the kernel. A poll copies the log's bitmap: one bit per 4 KiB
 * page, even where the host uses huge pages. This is cheap enough for a pause of the machine.
 */
#ifndef MACHINE_DIRTY_H
#define MACHINE_DIRTY_H

#include <stdbool.h>
#include <stdint.h>

struct machine;

/* A watch collects all written pages, even if another caller polls. */
struct dirty_watch {
	uint64_t *pages; /* the owner's bitmap of the image: polls set bits, the owner clears */
	struct dirty_watch *next;
};

/* Turns the dirty log on unless it is on. Earlier guest writes are not in it. 0 or a negative
 * status. */
int dirty_start(struct machine *machine);
bool dirty_on(const struct machine *machine);
/* Sets the bits of the pages written since the last poll, in every watch and in pages (a bitmap of
 * the image, or NULL). Turns the log on if it is off. 0 or a negative status; the bitmaps then lack
 * pages. */
int dirty_poll(struct machine *machine, uint64_t *pages);
/* Sets the bits of these pages in every watch. For a caller that writes memory without
 * memory_mark_written. */
void dirty_mark(struct machine *machine, const uint64_t *pages);
/* The watch and its bitmap stay the caller's; remove the watch before you free them. Removing a
 * watch that was not added does nothing. */
void dirty_watch_add(struct machine *machine, struct dirty_watch *watch);
void dirty_watch_remove(struct machine *machine, struct dirty_watch *watch);
/* The pages that the guest has written since the start, if machine_layout.dirty_log is set; else
 * NULL. */
const uint64_t *dirty_guest(const struct machine *machine);
void dirty_free(struct machine *machine);

#endif
