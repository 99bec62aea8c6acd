/* SPDX-License-Identifier: BSD-2-Clause */
/* The signals of a run: those that end it, SIGQUIT, and job control. One run per process. */
#ifndef CLI_SIGNALS_H
#define CLI_SIGNALS_H

#include "vm/vm.h"

struct signals {
	struct vm *vm;
	struct loop_source taken;     /* a signalfd: SIGQUIT, SIGCONT */
	struct loop_source interrupt; /* an eventfd: a signal that ends the process has come */
	struct loop_source term;      /* an eventfd: SIGTERM, which saves the machine */
};

/*
 * Signals become events of the VM's loop. SIGINT, SIGTERM, SIGHUP and SIGXCPU end the
 * machine; SIGHUP does not if it is ignored, as by nohup. SIGQUIT prints the registers. SIGTSTP
 * restores the terminal's mode before it stops the process, and SIGCONT makes it raw again. Returns
 * 0 or a negative status; call signals_close in any case. With [snapshot] on_term = save, SIGTERM
 * saves the machine and then ends it. Main thread.
 */
int signals_take(struct signals *signals, struct vm *vm);
void signals_close(struct signals *signals);
/* The run has ended: from now on SIGTERM ends the process also if it would have saved the machine.
 */
void signals_ended(struct signals *signals);

/* Becomes true when a signal is to end the process. */
const volatile bool *signals_interrupted(void);
/* The signal that is to end the process, or 0. */
int signals_last(void);
/* Dies of a signal by its default action. */
void signals_die_of(int number);

#endif
