/* SPDX-License-Identifier: BSD-2-Clause */
/* The slow path: all exits except a plain port or MMIO access. On the vCPU's own thread. */
#ifndef MACHINE_EXIT_H
#define MACHINE_EXIT_H

#include <stdbool.h>

struct machine;
struct vcpu;

/* Handles the exit that KVM_RUN returned with. steps: the stop condition counts instructions. */
void exit_slow(struct vcpu *vcpu, bool steps);
/*
 * Chooses whether the next KVM_RUN steps one instruction. HLT is not stepped: where KVM emulates
 * instructions, a step over HLT loses the halt. It runs at full speed to the next exit.
 */
void exit_step_or_run(struct vcpu *vcpu);
/* The same for the step of a tool, which is armed: see debug_step_hlt. */
void exit_begin_step(struct vcpu *vcpu);
/* Whether the file of guest memory was truncated. If so, logs an error and ends the machine. */
bool exit_file_truncated(struct machine *machine);

#endif
