/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds out that every vCPU has halted and no interrupt can wake it. With the in-kernel interrupt
 * controllers HLT is no exit: a timer polls for it. Main thread.
 */
#ifndef MACHINE_HALT_H
#define MACHINE_HALT_H

struct machine;

void halt_init(struct machine *machine);
/* Polls from now on, at the shortest interval; the clock may have been set back. */
void halt_start(struct machine *machine);

#endif
