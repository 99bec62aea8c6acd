/* SPDX-License-Identifier: BSD-2-Clause */
/* Stops and continues the process as a job of a shell. */
#include "base/job.h"

#include <signal.h>
#include <termios.h>
#include <unistd.h>

/* Static, since signals belong to the process. */
static volatile sig_atomic_t ending;

void
job_end(void)
{
	ending = 1;
}

void
job_take_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTTIN);
	sigaddset(&set, SIGTTOU);
	sigaddset(&set, SIGCONT);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

bool
job_foreground(int terminal)
{
	pid_t group = tcgetpgrp(terminal);

	return group < 0 || group == getpgrp(); /* below 0: not the terminal of our session */
}

bool
job_may_write(int terminal)
{
	struct termios mode;

	return job_foreground(terminal) || tcgetattr(terminal, &mode) || !(mode.c_lflag & TOSTOP);
}

bool
job_stop(int signal)
{
	struct sigaction before, normal = { .sa_handler = SIG_DFL };
	sigset_t set, mask, pending;

	if (ending || sigaction(signal, NULL, &before) || before.sa_handler == SIG_IGN)
		return false;
	sigemptyset(&set);
	sigaddset(&set, signal);
	sigaction(signal, &normal, NULL);
	/* This discards a pending SIGCONT. */
	kill(signal == SIGTSTP ? getpid() : 0, signal);
	pthread_sigmask(SIG_UNBLOCK, &set, &mask); /* stops here */
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	sigaction(signal, &before, NULL);
	return !sigpending(&pending) && sigismember(&pending, SIGCONT);
}
