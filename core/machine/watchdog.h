/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The watchdog reports callbacks of devices that take longer than a second. Its thread looks at the
 * current callback of the main thread and of each vCPU twice a second; so a callback costs no more
 * than the note of it that the crash report needs.
 */
#ifndef MACHINE_WATCHDOG_H
#define MACHINE_WATCHDOG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct machine;
struct vcpu;
struct bus_current;
struct minivmm_device;

/* What a thread did at the last look. */
struct watchdog_seen {
	const char *callback; /* NULL: none */
	struct minivmm_device *device;
	uint64_t count; /* changes with each callback */
	uint64_t since; /* clock_host() of the first look at this callback */
	bool reported;
};

struct watchdog {
	struct machine *machine;
	const struct bus_current *main; /* of the main thread */
	pthread_t thread;
	bool started;
	pthread_mutex_t lock; /* guards the members below, and struct vcpu's current against the
				 end of its thread */
	pthread_cond_t changed;
	bool ending;
	struct watchdog_seen *seen; /* the main thread's, then one for each vCPU */
};

/* A callback that takes long. */
struct watchdog_slow {
	const char *device, *callback;
	double seconds;
	int vcpu; /* -1: on the I/O thread */
};

/* Starts the thread; without it, nothing is reported. Stop it before a device is freed. Stopping
 * what was not started has no effect. Main thread. */
void watchdog_start(struct watchdog *watchdog, struct machine *machine);
void watchdog_stop(struct watchdog *watchdog);
/* Looks once. In no callback, nothing of a plugin is kept afterwards: call it before a plugin is
 * unloaded. Main thread, vCPUs stopped. */
void watchdog_look(struct watchdog *watchdog);
/* Resets vcpu->current, which its thread is about to free. On the vCPU's thread. */
void watchdog_forget(struct watchdog *watchdog, struct vcpu *vcpu);
/* Calls found for each callback that takes long now. Main thread. */
void watchdog_each(struct watchdog *watchdog,
		   void (*found)(void *context, const struct watchdog_slow *slow), void *context);

#endif
