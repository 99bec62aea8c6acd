/* SPDX-License-Identifier: BSD-2-Clause */
/* A vCPU: its thread, the run loop and the handling of exits. */
#ifndef MACHINE_VCPU_H
#define MACHINE_VCPU_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "kvm/kvm.h"
#include "machine/debug.h"
#include "machine/retry.h"

struct machine;
struct bus_current;

#define VCPU_REASONS 39 /* KVM_EXIT_... below this have a counter each */

struct vcpu {
	/* Counters, written by the vCPU's thread only: port and MMIO accesses; exits by KVM's exit
	 * reason (in 0: all reasons from VCPU_REASONS on). */
	atomic_uint_least64_t accesses;
	atomic_uint_least64_t exits[VCPU_REASONS];
	struct machine *machine;
	struct kvm_vcpu kvm;
	pthread_t thread;
	bool started; /* the thread exists */
	/* It executed HLT, and no interrupt can wake it. Saved, because without an irqchip KVM does
	 * not keep this. */
	atomic_bool halted;
	/* The last check found it halted; another vCPU may wake it. Only with several vCPUs. */
	atomic_bool maybe_halted;
	/* The stop condition counts instructions, or the vCPU steps over its breakpoint. */
	bool stepping;
	bool held;                /* it does not run with the others: one of them steps */
	uint64_t after_hlt;       /* linear address at which its step over HLT ends; 0: none */
	struct debug_hit hit;     /* under the machine's lock while it runs */
	int job_result;           /* 0 or a negative status */
	uint64_t job_number;      /* of the last job that its thread ran */
	uint64_t polled_exits;    /* exits at the last poll for halted vCPUs */
	uint64_t polled_cpu_time; /* CPU time of its thread at that poll, ns */
	/* clock_host() when its thread last parked, and last left park(). */
	atomic_uint_least64_t stopped_at, resumed_at;
	/* The thread's bus_current; NULL: no thread. For a signal handler. */
	const struct bus_current *_Atomic current;
	struct retry retry; /* of KVM_RUN */
	/* The guest has run since machine_run began. Written by its thread and, while it is parked,
	 * by the main thread. */
	bool ran;
} __attribute__((aligned(64)));
_Static_assert(offsetof(struct vcpu, exits[KVM_EXIT_MMIO]) < 64,
	       "the counters of an access are in one cache line");

/* The number of exits. Any thread. */
uint64_t vcpu_exits(const struct vcpu *vcpu);
/* The CPU time of its thread in ns; 0: no thread. Any thread, but not while the vCPU's thread is
 * joined. */
uint64_t vcpu_cpu_time(const struct vcpu *vcpu);
/* Makes KVM_RUN return with the access complete, so that the vCPU checks the run state and whether
 * it has halted. Any thread. */
void vcpu_kick(struct vcpu *vcpu);
/* The next KVM_RUN only completes an access. Any thread. */
static inline bool
vcpu_kicked(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->kvm.run->immediate_exit, __ATOMIC_RELAXED);
}
/* Undoes a kick, unless the run state says stop. On the vCPU's own thread. */
void vcpu_unkick(struct vcpu *vcpu);
/* The main function of the vCPU's thread; the argument is the struct vcpu. Returns NULL. */
void *vcpu_main(void *vcpu);
/* Arms the hardware for the machine's stop condition (a breakpoint, single steps) and for tools, or
 * disarms it. The vCPU is stopped. 0 or a negative status. */
int vcpu_arm(struct vcpu *vcpu);
/* Save and load the state of a stopped vCPU. save: 0 or a negative status; load: 0, or -1 with the
 * reason in why. */
int vcpu_save(struct vcpu *vcpu, struct record_writer *writer);
int vcpu_load(struct vcpu *vcpu, const struct record *group, struct why *why);
/* Checks the saved state of a vCPU by itself: it has all items, no others, and their types. Without
 * a machine. 0, or -1 with the reason in why. */
int vcpu_valid(const struct record *group, bool irqchip, struct why *why);
/* Checks that this host can load the saved state of a vCPU. 0, or -1 with the reason in why. */
int vcpu_check(struct vcpu *vcpu, const struct record *group, struct why *why);
/* The guest memory that KVM writes without the dirty log; see kvm_vcpu_own_areas. Returns the
 * number of areas. The vCPU is stopped. */
size_t vcpu_own_areas(struct vcpu *vcpu, struct kvm_area areas[KVM_OWN_AREAS]);
/* Stores whether the vCPU is halted for good or not started; see kvm_vcpu_halted. The vCPU is
 * stopped. 0 or a negative status. */
int vcpu_halted(struct vcpu *vcpu, bool *halted);
/* Read and write registers; either pointer may be NULL. The vCPU is stopped, or the caller is its
 * thread. 0 or a negative status. */
int vcpu_registers(struct vcpu *vcpu, struct kvm_regs *regs, struct kvm_sregs *sregs);
int vcpu_set_registers(struct vcpu *vcpu, const struct kvm_regs *regs,
		       const struct kvm_sregs *sregs);
/* Read and write the beginning of the XSAVE area and an MSR; translate a linear address. The vCPU
 * is stopped. Return 0 or -1; print nothing. See kvm/kvm.h. */
int vcpu_xsave(struct vcpu *vcpu, void *bytes, size_t size);
int vcpu_set_xsave(struct vcpu *vcpu, const void *bytes, size_t size);
int vcpu_msr(struct vcpu *vcpu, uint32_t index, uint64_t *value);
int vcpu_set_msr(struct vcpu *vcpu, uint32_t index, uint64_t value);
int vcpu_translate(struct vcpu *vcpu, uint64_t linear, uint64_t *gpa);
/* The code that a vCPU executes next. Plain data. */
struct vcpu_code {
	uint64_t rip, at, cr2; /* at: the linear address of rip */
	unsigned bits;         /* 16, 32 or 64 */
	bool reset;            /* the registers are those of a reset: rip is 0xfff0 */
	size_t length;         /* of bytes; 0: they are not in memory */
	uint8_t bytes[128];
};
/* Reads it. The vCPU is stopped, or the caller is its thread. 0 or a negative status. */
int vcpu_code(struct vcpu *vcpu, struct vcpu_code *code);
/* Formats the first bytes as "fa f4", or "not in memory". Returns buffer. */
#define VCPU_CODE_TEXT (3u * 16u + 1u)
const char *vcpu_code_text(const struct vcpu_code *code, char buffer[VCPU_CODE_TEXT]);
/* Logs the registers and the bytes at rip. The vCPU is stopped, or the caller is its thread. */
void vcpu_print(struct vcpu *vcpu, enum minivmm_level level);

#endif
