/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM's clock: an offset to the host's clock while it runs, a value while it is stopped. */
#include "machine/clock.h"

#include <time.h>

uint64_t
clock_host(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t
clock_now(const struct vm_clock *clock)
{
	uint64_t base = atomic_load(&clock->base);

	return atomic_load(&clock->running) ? base + clock_host() : base;
}

void
clock_set(struct vm_clock *clock, uint64_t now)
{
	atomic_store(&clock->base, now);
}

void
clock_stop(struct vm_clock *clock)
{
	uint64_t now = clock_now(clock);

	if (!atomic_exchange(&clock->running, false))
		return;
	atomic_store(&clock->base, now);
}

void
clock_start(struct vm_clock *clock)
{
	if (atomic_load(&clock->running))
		return;
	atomic_fetch_sub(&clock->base, clock_host());
	atomic_store(&clock->running, true);
}

uint64_t
clock_to_host(const struct vm_clock *clock, uint64_t time)
{
	return time - atomic_load(&clock->base);
}
