/* SPDX-License-Identifier: BSD-2-Clause */
/* The exits of a vCPU that are not the usual access of a port or of MMIO. On the vCPU's own thread.
 */
#ifndef MACHINE_EXIT_H
#define MACHINE_EXIT_H

#include <stdbool.h>

struct machine;
struct vcpu;

/* Serves the exit that KVM_RUN came back with. steps: the machine counts instructions towards its
 * point. */
void exit_slow(struct vcpu *vcpu, bool steps);
/*
 * Single-stepping over HLT loses the halt where KVM emulates instructions: that one runs at full
 * speed, up to the next exit.
 */
void exit_step_or_run(struct vcpu *vcpu);
/* Is it the memory's file that KVM stumbled over? That is said, then, and ends the machine. */
bool exit_file_truncated(struct machine *machine);

#endif
