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
	bool device; /* belongs to a device: quiet while the machine is paused */
	bool outer;  /* not called by loop_once_nested */
};

/* A deadline on the VM's clock; embedded likewise. Timers are quiet while the clock stands
 * still. */
struct loop_timer {
	uint64_t deadline, period; /* ns; period 0: once */
	bool armed;
	void (*fire)(struct loop_timer *timer, uint64_t periods);
	void *context;
	struct loop_timer *next; /* list of all, armed or not */
};

/* Work to do once on the loop's thread, when the machine is not paused; may be queued again. */
struct loop_deferred {
	void (*run)(struct loop_deferred *deferred);
	void *context;
	bool queued;
	struct loop_deferred *next;
};

struct loop {
	int epoll;
	int device_epoll; /* is in epoll, but for stops in which a device spoke */
	int timer_fd;
	struct vm_clock *clock;
	pthread_mutex_t lock; /* guards what is below */
	struct loop_timer *timers;
	struct loop_deferred *deferred, **deferred_end;
	bool quiet;
	bool programmed; /* the descriptor of timers is set */
	bool nested;     /* loop_once_nested runs */
	struct loop_source timer_source, wake_source, device_source;
};

int loop_init(struct loop *loop, struct vm_clock *clock); /* quiet until loop_quiet(false) */
void loop_free(struct loop *loop);

/* Main thread. -1: the descriptor can't be waited for (a regular file); errno is set. */
int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events);
int loop_change(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_remove(struct loop *loop, struct loop_source *source);

/* Any thread. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline,
		    uint64_t period);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
void loop_defer(struct loop *loop, struct loop_deferred *deferred);
void loop_wake(struct loop *loop); /* loop_once returns */

/* Main thread. Put on the list, armed or not; taken off. */
void loop_timer_add(struct loop *loop, struct loop_timer *timer);
void loop_timer_remove(struct loop *loop, struct loop_timer *timer);
void loop_deferred_remove(struct loop *loop, struct loop_deferred *deferred);

/* Devices' descriptors, timers and deferred work stay quiet (true), or speak again. After the
 * clock. */
void loop_quiet(struct loop *loop, bool quiet);

/* Waits for an event and runs its callback; timeout in ms, -1: none. 0 or a negative status. */
int loop_once(struct loop *loop, int timeout);
/* The same from within a callback of the loop: sources with outer set wait until that has returned.
 */
int loop_once_nested(struct loop *loop, int timeout);

#endif
