/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deferred accesses: a range handler leaves the end of its access to a later call, from any thread.
 * Only the vCPU of the access waits, on its thread, without the device's lock.
 *
 * A pause waits for the end of a deferred access as for a request in flight. A reset and the end of
 * the machine cancel it: the guest sees absent hardware.
 */
#ifndef MACHINE_DEFERRAL_H
#define MACHINE_DEFERRAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct minivmm_device;

/* The deferred access of a vCPU. */
struct deferral {
	uint64_t id; /* 0: none */
	const struct minivmm_device *device;
	bool completed;
	uint64_t value;
};

struct deferrals {
	pthread_mutex_t lock; /* guards the writes of all members */
	pthread_cond_t changed;
	struct deferral *list; /* one for each vCPU */
	uint32_t count;
	uint64_t last_id;                /* ids are never used again */
	bool cancelling;                 /* also of those to come */
	bool ever_cancelled;             /* a completion may be late */
	atomic_uint_least64_t cancelled; /* accesses since the state was created or loaded */
	char device[64];                 /* the name of the last one's */
};

/* 0, or -1: no memory. Call deferrals_free in either case. Main thread. */
int deferrals_init(struct deferrals *deferrals, uint32_t vcpus);
void deferrals_free(struct deferrals *deferrals);

/* Defers the access that the vCPU performs. Returns its id; 0: the vCPU's last one was deferred,
 * and its handler did not return MINIVMM_PENDING. The vCPU's thread, in the handler. */
uint64_t deferrals_add(struct deferrals *deferrals, uint32_t vcpu,
		       const struct minivmm_device *device);
/* Waits until the vCPU's deferred access has been completed, and stores its value; false: it was
 * cancelled, or none is deferred. The vCPU's thread. */
bool deferrals_wait(struct deferrals *deferrals, uint32_t vcpu, uint64_t *value);
/* Whether the vCPU has a deferred access of this device. The vCPU's thread. */
bool deferrals_has(struct deferrals *deferrals, uint32_t vcpu, const struct minivmm_device *device);

enum deferral_end {
	DEFERRAL_DONE,
	DEFERRAL_LATE,    /* the access may have been cancelled */
	DEFERRAL_UNKNOWN, /* it was completed before, or has never been deferred by this device */
};
/* Completes an access. Any thread. */
enum deferral_end deferrals_complete(struct deferrals *deferrals,
				     const struct minivmm_device *device, uint64_t id,
				     uint64_t value);

/* on: cancels all accesses, and those to come until it is off. Main thread. */
void deferrals_cancel(struct deferrals *deferrals, bool on);
/* The state is another one: its accesses are not those that were cancelled. vCPUs parked. */
void deferrals_forget(struct deferrals *deferrals);
/* Copies the name of a device of which an access was cancelled; false: none was. Any thread. */
bool deferrals_lost(struct deferrals *deferrals, char device[64]);

#endif
