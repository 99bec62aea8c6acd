/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Detects that every vCPU has halted and no interrupt can wake it. With the in-kernel interrupt
 * controllers, HLT causes no exit, so a timer polls for halted vCPUs. Main thread.
 */
#ifndef MACHINE_HALT_H
#define MACHINE_HALT_H

struct machine;

/* Initializes the timer; it is not armed. */
void halt_init(struct machine *machine);
/* Arms the timer with the shortest interval. Call it again after the clock was set back. */
void halt_start(struct machine *machine);

#endif
