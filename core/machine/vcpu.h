/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU: its thread, its run loop, and what it does with exits. */
#ifndef MACHINE_VCPU_H
#define MACHINE_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "kvm/kvm.h"

struct machine;
struct bus_current;

#define VCPU_REASONS 39 /* KVM_EXIT_... below this have a counter of their own */

struct vcpu {
	atomic_uint_least64_t accesses; /* ports and MMIO; written by its thread only */
	/* By KVM's exit reason, those that it does not know of in 0; likewise. */
	atomic_uint_least64_t exits[VCPU_REASONS];
	struct machine *machine;
	struct kvm_vcpu kvm;
	pthread_t thread;
	bool started; /* the thread exists */
	/* HLT, and no interrupt can wake it. Without irqchip it is the VMM's own state and is
	 * saved. */
	atomic_bool halted;
	/* The last check found it halted; another vCPU may wake it. Only with several vCPUs. */
	atomic_bool maybe_halted;
	/* The stop condition counts instructions, or the vCPU steps over a breakpoint. */
	bool stepping;
	int job_result;           /* 0 or a negative status */
	uint64_t job_number;      /* of the last job that its thread ran */
	uint64_t polled_exits;    /* exits at the last poll for halted vCPUs */
	uint64_t polled_cpu_time; /* CPU time of its thread at that poll, ns */
	/* clock_host() when its thread last parked, and last left park(). */
	atomic_uint_least64_t stopped_at, resumed_at;
	/* The callback that its thread is in; NULL: there is no thread. For a signal handler. */
	const struct bus_current *_Atomic current;
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct vcpu, exits[KVM_EXIT_MMIO]) < 64,
	       "the counters of accesses: one line");

/* All of its exits. Any thread. */
uint64_t vcpu_exits(const struct vcpu *vcpu);
/* Nanoseconds that its thread has run for; 0: there is none. Any thread, while that one is not
 * joined. */
uint64_t vcpu_cpu_time(const struct vcpu *vcpu);
/* Sends the vCPU out of KVM_RUN, its access complete, to look around. Any thread. */
void vcpu_kick(struct vcpu *vcpu);
/* Undoes a kick, unless there is still reason for it. Its own thread. */
void vcpu_unkick(struct vcpu *vcpu);
/* The thread's function. */
void *vcpu_main(void *vcpu);
/* Arms the machine's stop condition on a stopped vCPU, or disarms it. 0 or a negative status. */
int vcpu_arm(struct vcpu *vcpu);
/* The state of a stopped vCPU. save: 0 or a negative status; load: 0, or -1 with the reason in
 * why. */
int vcpu_save(struct vcpu *vcpu, struct record_writer *writer);
int vcpu_load(struct vcpu *vcpu, const struct record *group, struct why *why);
/* Can this host load the saved state of a vCPU? 0, or -1 with the reason in why. */
int vcpu_check(struct vcpu *vcpu, const struct record *group, struct why *why);
/* As kvm_vcpu_own_areas: memory that KVM writes by itself. Stopped. */
size_t vcpu_own_areas(struct vcpu *vcpu, struct kvm_area areas[KVM_OWN_AREAS]);
/* Registers of a stopped vCPU, or on its own thread; either may be NULL. 0 or a negative status. */
int vcpu_registers(struct vcpu *vcpu, struct kvm_regs *regs, struct kvm_sregs *sregs);
int vcpu_set_registers(struct vcpu *vcpu, const struct kvm_regs *regs,
		       const struct kvm_sregs *sregs);
/* Registers for people, and the bytes at rip, to the log. Stopped, or on its own thread. */
void vcpu_print(struct vcpu *vcpu, enum minivmm_level level);

#endif
