/* SPDX-License-Identifier: BSD-2-Clause */
/* Functions shared by the machine's sources. Private to core/machine. */
#ifndef MACHINE_MACHINE_RUN_H
#define MACHINE_MACHINE_RUN_H

#include "machine/machine.h"

/* Kicks every vCPU. Any thread. */
void machine_kick(struct machine *machine);
/* Makes the stop condition new: it is not hit if it holds already. Arms the timer of a STOP_TIME.
 * Main thread, machine paused. */
void machine_stop_arm(struct machine *machine);
/* Forgets that the stop condition is hit, and counts its occurrences again from the start. */
void machine_stop_discard_hit(struct machine *machine);
/* Starts the vCPUs' threads that do not run yet; they park. 0 or a negative status. Main thread. */
int machine_start_threads(struct machine *machine);
/* Resumes the machine if all counts of pauses are 0. 0, or a negative status, with which the
 * machine ends. Main thread. */
int machine_try_resume(struct machine *machine);

#endif
