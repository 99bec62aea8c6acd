/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Debugging the guest: breakpoints, watchpoints and single steps of several owners, beside the stop
 * condition. What is set is armed when the machine resumes. A software breakpoint is in guest
 * memory only while the machine runs: no snapshot, reset or branch sees it.
 *
 * A software breakpoint is INT3 if KVM reports it. Some do not, in software or nested: there it is
 * IN from a port that nobody has, which exits at CPL 0 on every KVM. It has two bytes, so that an
 * instruction of one byte cannot have one.
 *
 * All functions without another word: main thread, machine paused.
 */
#ifndef MACHINE_DEBUG_H
#define MACHINE_DEBUG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvm/kvm.h"
#include "minivmm/tool.h"

struct machine;
struct vcpu;

#define DEBUG_BYTES 2u /* of a software breakpoint at most */

/* A breakpoint or a watchpoint. */
struct debug_point {
	const void *owner;
	uint64_t linear;
	uint32_t length; /* of a watchpoint, bytes */
	enum minivmm_breakpoint_kind kind;
	/* Of a software breakpoint: where its bytes are, and what they replace. */
	uint64_t gpa[DEBUG_BYTES];
	uint8_t original[DEBUG_BYTES];
	bool inserted;
};

/* What has stopped a vCPU. */
struct debug_hit {
	enum minivmm_stop_reason reason;   /* 0: nothing */
	uint64_t address;                  /* of a breakpoint or a watchpoint */
	enum minivmm_breakpoint_kind kind; /* of it */
	const void *owner;
};

struct debug {
	struct debug_point *points;
	size_t count, room;
	const void *stepper; /* the owner of the step; NULL: no vCPU steps */
	uint32_t step_vcpu;
	/* The bytes of a software breakpoint. length 0: not yet known. */
	struct {
		uint8_t bytes[DEBUG_BYTES];
		uint32_t length;
	} trap;
	/* What KVM reports, as far as it was needed: 0 unknown, 1 yes, -1 no. */
	signed char reports[KVM_REPORTS];
	bool armed;      /* a vCPU's debugging is set: the next resume sets it again */
	atomic_bool hit; /* a vCPU has a debug_hit */
	/* Called after a hit, while the machine is paused. */
	void (*stopped)(void *context);
	void *context;
};

/* Sets the function to call after a hit. Before machine_run. */
void debug_init(struct machine *machine, void (*stopped)(void *context), void *context);
void debug_free(struct machine *machine);

/* Sets or clears a breakpoint or a watchpoint. Setting one again has no effect. Returns 0; or -1:
 * see minivmm_breakpoint_set(). */
int debug_set(struct machine *machine, const void *owner,
	      const struct minivmm_breakpoint *breakpoint);
int debug_clear(struct machine *machine, const void *owner,
		const struct minivmm_breakpoint *breakpoint);
/* Clears all of an owner. */
void debug_clear_all(struct machine *machine, const void *owner);
/* When the machine resumes, only this vCPU runs, and stops after one instruction. */
void debug_step(struct machine *machine, const void *owner, uint32_t vcpu);
/* The step of an owner does not take place. */
void debug_end_step(struct machine *machine, const void *owner);
/* The owner of the step that has been requested; NULL: no vCPU steps. The machine may run. */
const void *debug_stepper(const struct machine *machine);
/* Forgets all that an owner has set, and its hits. If it has set nothing, the machine may run. */
void debug_forget(struct machine *machine, const void *owner);
/* What has stopped a vCPU. Valid in stopped(). */
const struct debug_hit *debug_hit(const struct machine *machine, uint32_t vcpu);

/* For the machine. */

/* Insert and remove the software breakpoints. */
void debug_insert(struct machine *machine);
void debug_remove(struct machine *machine);
/* Arms a vCPU for what is set, for the breakpoint of the stop condition unless it steps over that,
 * and for single steps if step. 0 or a negative status. The vCPU is stopped, or its thread. */
int debug_arm(struct vcpu *vcpu, bool step);
/*
 * Arms the vCPU for a step over HLT. It halts until an interrupt, whose handler runs, and stops at
 * the next instruction. Without an irqchip it halts, which ends the machine if all have. The vCPU's
 * thread.
 */
void debug_step_hlt(struct vcpu *vcpu);
/* Handles a KVM_EXIT_DEBUG. False: it is not that of an owner, but the stop condition's. The vCPU's
 * thread. */
bool debug_exit(struct vcpu *vcpu);
/* Handles an exit for IN that may be a software breakpoint. False: it is not. The vCPU's thread. */
bool debug_in(struct vcpu *vcpu);
/* The vCPU has executed the instruction of its step. The vCPU's thread. */
void debug_stepped(struct vcpu *vcpu);
/* Whether the vCPU executes one instruction only. Its thread, or the main thread. */
bool debug_steps(const struct vcpu *vcpu);
/* A vCPU has a hit: ends the step, and calls stopped(). 0 or a negative status. */
int debug_stop(struct machine *machine);

/* Shared by the files of this module. */

static inline bool
debug_is_software(const struct debug_point *point)
{
	return point->kind == MINIVMM_BREAK_SOFTWARE;
}
/* Whether KVM reports an event: asks it once. */
bool debug_reported(struct machine *machine, enum kvm_reports what);
/* Finds where the bytes of a software breakpoint go. Returns 0; or -1: it is not in memory, or the
 * instruction is too short. */
int debug_place(struct machine *machine, struct debug_point *point, struct vcpu *vcpu);
/* Adds what owners have set: first the stop condition's, then those of owners in their order. */
void debug_add_points(const struct machine *machine, struct kvm_debug *how);
/* Handles an INT3 at a linear address. The vCPU's thread. */
void debug_int3(struct vcpu *vcpu, uint64_t linear);
/* Stops the machine for the owner of a point, or of the step (NULL). The vCPU's thread. */
void debug_report(struct vcpu *vcpu, const struct debug_point *point);

#endif
