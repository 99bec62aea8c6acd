/* SPDX-License-Identifier: BSD-2-Clause */
/* The VM's clock: ns since the machine first started. It stops while the machine is paused. */
#ifndef MACHINE_CLOCK_H
#define MACHINE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vm_clock {
	atomic_uint_least64_t base; /* running: VM time - host time (wraps); stopped: VM time */
	atomic_bool running;
};

/* The host's CLOCK_MONOTONIC in ns. Any thread. */
uint64_t clock_host(void);
/* VM time in ns. Any thread. */
uint64_t clock_now(const struct vm_clock *clock);
/* Sets a stopped clock to now (ns). Main thread. */
void clock_set(struct vm_clock *clock, uint64_t now);
/* Both are idempotent. Main thread, vCPUs stopped. */
void clock_stop(struct vm_clock *clock);
void clock_start(struct vm_clock *clock);
/* CLOCK_MONOTONIC in ns at a VM time; the clock runs. Any thread. */
uint64_t clock_to_host(const struct vm_clock *clock, uint64_t time);

#endif
