/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM_RUN that fails without an exit. The host may lack a thread or memory for a moment, and
 * kernels 6.11 to 6.13 fail if a signal arrives while they start KVM's thread: KVM_RUN is called
 * again, a bounded number of times.
 */
#ifndef MACHINE_RETRY_H
#define MACHINE_RETRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct vcpu;

/* Consecutive failures of a vCPU: none of them is a second after another one, or after an exit. */
struct retry {
	unsigned count;                    /* written and read by the vCPU's thread only */
	atomic_int error;                  /* errno of the last failure; 0: there was none */
	atomic_uint_least64_t exits, time; /* vcpu_exits() and clock_host() at the last failure */
};

/* The handler of KVM_SIGNAL. */
void retry_signal(int number);
/*
 * KVM_RUN has failed with error, an errno. Returns true if it can be called again: at once if a
 * signal was the cause, otherwise after a moment. Returns false after too many failures, and for
 * other errors. On the vCPU's own thread.
 */
bool retry_may(struct vcpu *vcpu, int error);
/* True if KVM refuses to run the vCPU at the moment. Any thread. */
bool retry_refused(const struct vcpu *vcpu);
/* Reports the last failure, and the host's limit. Returns a negative status. Any thread. */
int retry_report(const struct vcpu *vcpu);

#endif
