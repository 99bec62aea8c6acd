/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Job control: the process at the terminal of a shell. In the background it must neither read the
 * terminal nor set its mode: it stops, as the kernel has a process stop that does, until the shell
 * puts it into the foreground. The kernel's own stop would happen in a system call, which is
 * restarted after SIGCONT, and so would stop again before a SIGTERM has an effect.
 */
#ifndef BASE_JOB_H
#define BASE_JOB_H

#include <stdbool.h>

/*
 * Blocks signals in the calling thread: SIGTTIN and SIGTTOU, so that no system call stops the
 * process, and SIGCONT, for a signalfd. Threads inherit this.
 */
void job_take_signals(void);

/* False if another process group of the session has the terminal. Async-signal-safe. */
bool job_foreground(int terminal);
/* False in the background of a terminal with "stty tostop". */
bool job_may_write(int terminal);

/*
 * Stops the process with SIGTSTP, or its whole process group with SIGTTIN or SIGTTOU, until
 * SIGCONT. Returns false if the signal did not stop it: it is ignored, there is no shell that could
 * continue it, or job_end was called. On a thread with the signals of job_take_signals;
 * async-signal-safe.
 */
bool job_stop(int signal);
/* The process is to end: job_stop does nothing from now on. Async-signal-safe. */
void job_end(void);

#endif
