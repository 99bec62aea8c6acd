/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM's clock: ns since the machine first started, standing still while it is paused. */
#ifndef MACHINE_CLOCK_H
#define MACHINE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vm_clock {
	atomic_uint_least64_t base; /* running: VM time - host time (wraps); stopped: VM time */
	atomic_bool running;
};

uint64_t clock_host(void);                            /* CLOCK_MONOTONIC in ns */
uint64_t clock_now(const struct vm_clock *clock);     /* any thread */
void clock_set(struct vm_clock *clock, uint64_t now); /* stopped */
void clock_stop(struct vm_clock *clock);              /* idempotent; main thread, vCPUs stopped */
void clock_start(struct vm_clock *clock);
uint64_t clock_to_host(const struct vm_clock *clock,
		       uint64_t time); /* CLOCK_MONOTONIC of a VM time; running */

#endif
