/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory as it was at an earlier time, in a process that keeps it: a fork(2) of that time,
 * which does nothing but wait. Its children inherit the memory at the same addresses, and two
 * descriptors of its /proc entry. These need no permission, they never mean another process, and
 * they do not keep the memory: once the process has ended, reads find nothing.
 */
#ifndef MACHINE_KEPT_H
#define MACHINE_KEPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "machine/memory.h"

struct kept_memory {
	int mem, pagemap; /* -1: not open */
	int error;        /* an errno: why mem is not open */
};

/* Opens those of this process, which keeps its memory from here on. */
void kept_open(struct kept_memory *kept);
void kept_close(struct kept_memory *kept);
/* Whether the memory is still kept. 0, or -1 with the reason in why. */
int kept_check(const struct kept_memory *kept, const struct memory *memory, struct why *why);
/* Reads length bytes that this process has at address host. 0, or -1 with the reason in why. */
int kept_read(const struct kept_memory *kept, const void *host, void *to, size_t length,
	      struct why *why);
/*
 * Sets the bits of the pages whose content differs now. It reads what both processes have touched,
 * unless this one may know the frames of pages (CAP_SYS_ADMIN), and writes nothing. The guest may
 * run: what it writes meanwhile may be missing. 0, or -1 with the reason in why.
 */
int kept_find_changes(const struct kept_memory *kept, const struct memory *memory, uint64_t *pages,
		      struct why *why);

#endif
