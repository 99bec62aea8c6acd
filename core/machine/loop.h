/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O loop of the main thread: epoll on descriptors, timers on the VM's clock, deferred work,
 * and wake-ups from other threads. Callbacks run on the main thread.
 */
#ifndef MACHINE_LOOP_H
#define MACHINE_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "machine/clock.h"

/* A descriptor. Its owner embeds it, sets ready, context, device and outer, and does not move it
 * between loop_add and loop_remove. */
struct loop_source {
	int fd;          /* -1: not added */
	uint32_t events; /* EPOLLIN...; 0: not in epoll. Set by loop_add and loop_change */
	void (*ready)(struct loop_source *source, uint32_t events);
	void *context;
	bool device; /* a device's: ready is not called while the loop is quiet */
	bool outer;  /* ready is not called by loop_once_nested */
	/* Of loop_rest. Private. */
	struct loop_source *next_resting;
	uint64_t rests_until; /* clock_host(); 0: does not rest */
	uint32_t rest_events;
};

/* A deadline on the VM's clock. Its owner embeds it, sets fire and context, and does not move it
 * between loop_timer_add and loop_timer_remove. It does not fire while the loop is quiet. */
struct loop_timer {
	uint64_t deadline, period; /* ns; period 0: once */
	bool armed;
	/* Of loop_timer_retry. Private. */
	bool fired;          /* since it was set */
	uint64_t due;        /* the deadline before it fired */
	uint64_t not_before; /* VM time at which it fires again at the earliest */
	void (*fire)(struct loop_timer *timer, uint64_t periods); /* periods passed, at least 1 */
	void *context;
	struct loop_timer *next; /* of all timers, armed or not */
};

/* A function to run once on the main thread when the loop is not quiet, or always. It may be queued
 * again. Its owner removes it from the loop before it frees it. */
struct loop_deferred {
	void (*run)(struct loop_deferred *deferred);
	void *context;
	bool always; /* also while the loop is quiet */
	bool queued;
	struct loop_deferred *next, **link; /* link: where the address of this one is, if queued */
};

struct loop {
	int epoll;
	int device_epoll; /* of devices; in epoll, unless an event came while the loop was quiet */
	int timer_fd;
	struct vm_clock *clock;
	pthread_mutex_t lock; /* guards the members below */
	struct loop_timer *timers;
	struct loop_deferred *deferred, **deferred_end;
	atomic_bool quiet;   /* set under the lock */
	uint64_t armed_for;  /* deadline, by clock, for which timer_fd is armed; or UINT64_MAX */
	pthread_t thread;    /* the main thread */
	bool timers_changed; /* since timer_fd was armed; main thread */
	bool nested;         /* in loop_once_nested; main thread */
	struct loop_source *resting; /* main thread */
	struct loop_source timer_source, wake_source, device_source;
};

/* The loop is quiet until loop_quiet(false). clock stays the caller's. 0 or a negative status. */
int loop_init(struct loop *loop, struct vm_clock *clock);
void loop_free(struct loop *loop);

/* Adds a source with events other than 0; fd stays the caller's. 0, or -1: epoll does not support
 * fd (a regular file); errno is set. Main thread. */
int loop_add(struct loop *loop, struct loop_source *source, int fd, uint32_t events);
/* Sets the events to wait for; 0: none. Returns 0. loop_remove accepts a source that is not added.
 * Main thread. */
int loop_change(struct loop *loop, struct loop_source *source, uint32_t events);
void loop_remove(struct loop *loop, struct loop_source *source);
/* For an event that cannot be handled now: epoll reports it again, with EPOLLET too. Main thread.
 */
void loop_report_again(struct loop *loop, struct loop_source *source);
/*
 * For an event that cannot be handled now, and that epoll would report again at once: the source
 * has no events for ms, then those it has now. loop_change and loop_remove end that. It takes no
 * memory and no descriptor. Main thread.
 */
void loop_rest(struct loop *loop, struct loop_source *source, uint32_t ms);

/* Any thread. deadline: VM time in ns. period: ns; 0: the timer fires once. */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, uint64_t deadline,
		    uint64_t period);
void loop_timer_cancel(struct loop *loop, struct loop_timer *timer);
/*
 * For fire, if it cannot be handled now: the timer is as before, and fires again after a
 * millisecond, with the same periods and those that have passed. No effect if another thread has
 * set or cancelled the timer meanwhile. Main thread.
 */
void loop_timer_retry(struct loop *loop, struct loop_timer *timer);
/* Queues deferred work unless it is queued. Any thread. */
void loop_defer(struct loop *loop, struct loop_deferred *deferred);
/* Makes loop_once return. Any thread; async-signal-safe. */
void loop_wake(struct loop *loop);

/* Main thread. A timer must be added before loop_timer_set. Removing what is not there has no
 * effect. */
void loop_timer_add(struct loop *loop, struct loop_timer *timer);
void loop_timer_remove(struct loop *loop, struct loop_timer *timer);
void loop_deferred_remove(struct loop *loop, struct loop_deferred *deferred);

/* quiet true: no events of devices, timers or deferred work until quiet is false again. Call it
 * after clock_stop or clock_start. Main thread. */
void loop_quiet(struct loop *loop, bool quiet);
/* Any thread. */
static inline bool
loop_is_quiet(const struct loop *loop)
{
	return atomic_load(&loop->quiet);
}

/* Waits for one event and runs its callback, then the deferred work. timeout in ms; -1: none. 0 or
 * a negative status. Main thread. */
int loop_once(struct loop *loop, int timeout);
/* The same from within a callback of the loop. Sources with outer set wait for the outer loop. */
int loop_once_nested(struct loop *loop, int timeout);

/* Whether the callback that asks was called by loop_once_nested. Main thread. */
static inline bool
loop_nested(const struct loop *loop)
{
	return loop->nested;
}

#endif
