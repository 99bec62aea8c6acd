/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Puts huge pages together again. A write to memory that a forked process shares splits its huge
 * page, and later forks copy a page table for it, which takes ten times as long. A thread finds the
 * parts of guest memory that no other process shares any more, and asks the kernel to make them
 * huge pages (MADV_COLLAPSE, Linux 6.1). The guest runs meanwhile; a page that it accesses while
 * the kernel copies it waits for that. Main thread.
 */
#ifndef MACHINE_COLLAPSE_H
#define MACHINE_COLLAPSE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct memory;

struct collapse {
	const struct memory *memory;
	pthread_t thread;
	bool started;
	atomic_bool ends; /* the thread is to end soon */
	int fd;           /* /proc/self/pagemap */
};

/* Starts the thread; one that runs begins again. Without huge pages or a thread it has no effect.
 */
void collapse_start(struct collapse *collapse, const struct memory *memory);
/* Ends the thread, if there is one. Before a fork(2), so that it does not lengthen it, and before
 * memory is freed. */
void collapse_end(struct collapse *collapse);

#endif
