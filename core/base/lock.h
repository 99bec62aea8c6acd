/* SPDX-License-Identifier: BSD-2-Clause */
/* A futex lock that costs two instructions when it is not contended. */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <linux/futex.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct lock {
	atomic_uint word; /* 0: free; 1: locked; 2: locked, with possible waiters */
};

static inline void
lock_take(struct lock *lock)
{
	unsigned int word = 0;

	if (atomic_compare_exchange_strong_explicit(&lock->word, &word, 1, memory_order_acquire,
						    memory_order_relaxed))
		return;
	while (atomic_exchange_explicit(&lock->word, 2, memory_order_acquire))
		syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

/* Waits once, for at most ns (below 1 s). false: another thread still has the lock. */
static inline bool
lock_try(struct lock *lock, long ns)
{
	const struct timespec most = { .tv_nsec = ns };
	unsigned int word = 0;

	if (atomic_compare_exchange_strong_explicit(&lock->word, &word, 1, memory_order_acquire,
						    memory_order_relaxed))
		return true;
	if (!atomic_exchange_explicit(&lock->word, 2, memory_order_acquire))
		return true;
	syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, 2, &most, NULL, 0);
	return !atomic_exchange_explicit(&lock->word, 2, memory_order_acquire);
}

static inline void
lock_release(struct lock *lock)
{
	if (atomic_exchange_explicit(&lock->word, 0, memory_order_release) == 2)
		syscall(SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

#endif
