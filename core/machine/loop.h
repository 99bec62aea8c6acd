/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O loop: epoll over descriptors, timers on the VM's clock, wake-ups from other threads. It
 * is the main thread's.
 */
#ifndef MACHINE_LOOP_H
#define MACHINE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine/clock.h"

/* A descriptor; embedded in what belongs to it, address fixed while added. */
struct loop_source {
	int fd; /* -1: not added */
	uint32_t events;
	void (*ready)(struct loop_source *source, uint32_t events);
	void *context;
	bool device;    /* belongs to a device: quiet while the machine is paused */
	bool suspended; /* by loop_quiet */
};

/* A deadline on the VM's clock; embedded likewise. Timers are quiet while the clock stands still.
 */
struct loop_timer {
	uint64_t deadline, period; /* ns */
	bool armed;
	void (*fire)(struct loop_timer *timer, uint64_t periods);
	void *context;
	struct loop_timer *next; /* list of all, armed or not */
};

struct loop {
	int epoll, timer_fd, wake_fd;
	struct vm_clock *clock;
	pthread_mutex_t lock; /* guards timers and deferred */
	struct loop_timer *timers;
	uint64_t programmed; /* host ns that timer_fd is set to; 0: off */
	struct loop_source timer_source, wake_source;
	struct loop_deferred *deferred;
	struct loop_source *sources[64];
	unsigned source_count;
	bool stop;
};

/* Work to do once on the loop's thread; embedded, may be queued again after it ran. */
struct loop_deferred {
	void (*run)(struct loop_deferred *deferred);
	void *context;
	bool queued;
	struct loop_deferred *next;
};

int loop_init(struct loop *loop, struct vm_clock *clock);
void loop_free(struct loop *loop);

/* Main thread. events 0: keeps it, waits for nothing (but errors). */
int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events);
void loop_change(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_remove(struct loop *loop, struct loop_source *source);

/* Any thread. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline,
		    uint64_t period);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
void loop_defer(struct loop *loop, struct loop_deferred *deferred);
/* Main thread, machine stopped. */
void loop_timer_add(struct loop *loop, struct loop_timer *timer);
void loop_timer_remove(struct loop *loop, struct loop_timer *timer);
void loop_deferred_remove(struct loop *loop, struct loop_deferred *deferred);

/* Devices' descriptors and timers stay quiet (true) or speak again. */
void loop_quiet(struct loop *loop, bool quiet);

/* Waits for something and runs it; timeout in ms, -1: for ever. 0, or -1: epoll failed. */
int loop_once(struct loop *loop, int timeout);

#endif
