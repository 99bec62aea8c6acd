/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU: its thread, its run loop, and what it does with exits. */
#ifndef MACHINE_VCPU_H
#define MACHINE_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "kvm/kvm.h"

struct machine;

struct vcpu {
	struct machine *machine;
	struct kvm_vcpu kvm;
	pthread_t thread;
	bool started;       /* the thread exists */
	atomic_bool kicked; /* leave KVM_RUN and look around */
	bool halted;        /* HLT without irqchip: the VMM's own state, saved as such */
	bool step_over;     /* a breakpoint was met: step over it, then arm again */
	bool pending;       /* an access was dispatched that KVM has not completed */
	bool fired;         /* the point is this vCPU's last access */
	uint64_t exits, accesses;
};

/* Sends the vCPU out of KVM_RUN to look around. Any thread. */
void vcpu_kick(struct vcpu *vcpu);
/* The thread's function. */
void *vcpu_main(void *vcpu);
/* For halted vCPUs in the kernel: looks whether all are halted for good. vCPU stopped. */
int vcpu_save(struct vcpu *vcpu, struct record_writer *writer);
int vcpu_load(struct vcpu *vcpu, const struct record *group, char *why, size_t why_size);

#endif
