/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sources of the machine share. Private to core/machine. */
#ifndef MACHINE_MACHINE_RUN_H
#define MACHINE_MACHINE_RUN_H

#include "machine/machine.h"

/* Kicks every vCPU. Any thread. */
void machine_kick(struct machine *machine);
/* Sets a stop condition that holds already as one that must become true, and the timer of one that
 * waits. */
void machine_stop_arm(struct machine *machine);
/* Starts the vCPUs' threads, parked. 0 or a negative status. */
int machine_start_threads(struct machine *machine);
/* Resumes the machine if no pause is counted. 0, or a negative status, with which the machine ends.
 */
int machine_try_resume(struct machine *machine);

#endif
