/* SPDX-License-Identifier: BSD-2-Clause */
/* Turns signals into events of the loop. */
#include "cli/signals.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/job.h"
#include "base/limit.h"
#include "base/log.h"
#include "cli/cli.h"
#include "vm/report.h"

/* Set by a signal that is to end us; also ends waits of the main thread. Handlers are the
 * process's. */
static volatile bool interrupted;
static volatile sig_atomic_t interrupted_by, interrupt_fd, term_fd;
static volatile sig_atomic_t term_saves, term_came; /* SIGTERM saves the machine; it has come */
static const struct vm *suspended_vm;
static pid_t process; /* whose machine they are for */

/* A handler, and no signalfd: the main thread may be in a callback that does not return. */
static void
interrupt(int number)
{
	const uint64_t one = 1;
	int error = errno;
	ssize_t n;

	if (getpid() != process) { /* a plugin has forked: ends this child when we return */
		signal(number, SIG_DFL);
		raise(number);
		return;
	}
	if (number == SIGTERM && term_saves) {
		term_came = 1;
		n = write(term_fd, &one, sizeof(one));
		(void)n; /* full: it has come before */
		errno = error;
		return;
	}
	interrupted_by = number;
	interrupted = true;
	job_end();
	crash_deadline(number);
	n = write(interrupt_fd, &one, sizeof(one));
	(void)n; /* full: the loop is awake */
	errno = error;
}

/* A handler, too: the main thread may write a large snapshot. */
static void
suspend(int number)
{
	int error = errno;

	vm_restore_terminal(suspended_vm);
	if (!job_stop(number)) /* it runs on: on_signal makes the terminal raw again */
		kill(getpid(), SIGCONT);
	errno = error;
}

static void
on_interrupt(struct loop_source *source, uint32_t events)
{
	struct signals *signals = source->context;
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) != sizeof(count))
		return;
	if (interrupted_by == SIGXCPU)
		log_line(MINIVMM_ERROR, NULL, "%s", LIMIT_CPU_TEXT);
	machine_end(&signals->vm->machine, CAUSE_SIGNAL, (uint64_t)interrupted_by);
}

static void
on_term(struct loop_source *source, uint32_t events)
{
	struct signals *signals = source->context;
	uint64_t count;

	if (read(source->fd, &count, sizeof(count)) == sizeof(count))
		vm_save_on_term(signals->vm);
}

static void
print_registers(struct machine *machine)
{
	if (!machine_running(machine))
		return;
	machine_pause(machine, PAUSE_INSPECT); /* a failure is reported */
	if (!machine_running(machine))
		report_registers(machine);
	machine_resume(machine, PAUSE_INSPECT);
}

static void
on_signal(struct loop_source *source, uint32_t events)
{
	struct signals *signals = source->context;
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGQUIT)
		print_registers(&signals->vm->machine);
	else if (info.ssi_signo == SIGCHLD)
		branches_reap(signals->vm);
	else if (!machine_ended(&signals->vm->machine))
		vm_continue_terminal(signals->vm);
}

int
signals_take(struct signals *signals, struct vm *vm)
{
	static const int ends[] = { SIGINT, SIGTERM, SIGHUP, SIGXCPU };
	const struct sigaction action = { .sa_handler = interrupt,
					  .sa_flags = SA_RESTART | SA_ONSTACK };
	struct machine *machine = &vm->machine;
	struct loop *loop = &machine->loop;
	const struct sigaction stop = { .sa_handler = suspend,
					.sa_flags = SA_RESTART | SA_ONSTACK };
	struct sigaction before;
	sigset_t set;
	int fd;

	*signals = (struct signals){
		.vm = vm,
		.taken = { .fd = -1, .ready = on_signal, .context = signals, .outer = true },
		.interrupt = { .fd = -1, .ready = on_interrupt, .context = signals },
		.term = { .fd = -1, .ready = on_term, .context = signals, .outer = true },
	};
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0 || loop_add(loop, &signals->interrupt, fd, EPOLLIN))
		return fail(STATUS_HOST, "eventfd: %s", limit_error(errno).text);
	interrupt_fd = fd;
	if (vm_saves_on_term(vm)) {
		fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		if (fd < 0 || loop_add(loop, &signals->term, fd, EPOLLIN))
			return fail(STATUS_HOST, "eventfd: %s", limit_error(errno).text);
		term_fd = fd;
	}
	term_came = 0;
	term_saves = signals->term.fd >= 0;
	process = getpid();
	for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		/* nohup(1) ignores SIGHUP, so that the process outlives its terminal. */
		if (ends[i] != SIGHUP ||
		    (!sigaction(SIGHUP, NULL, &before) && before.sa_handler != SIG_IGN))
			sigaction(ends[i], &action, NULL);
	suspended_vm = vm;
	if (!sigaction(SIGTSTP, NULL, &before) && before.sa_handler != SIG_IGN)
		sigaction(SIGTSTP, &stop, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGCONT);
	sigaddset(&set, SIGCHLD); /* of branches */
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	sigaddset(&set, KVM_SIGNAL); /* for the vCPUs' threads to unblock */
	sigprocmask(SIG_BLOCK, &set, NULL);
	job_take_signals();
	if (fd < 0 || loop_add(loop, &signals->taken, fd, EPOLLIN))
		return fail(STATUS_HOST, "signalfd: %s", limit_error(errno).text);
	return 0;
}

void
signals_ended(struct signals *signals)
{
	term_saves = 0;
	if (term_came && !signals->vm->saved_status && !interrupted) /* as the machine ended */
		raise(SIGTERM);
}

void
signals_close(struct signals *signals)
{
	struct sigaction now;

	if (!sigaction(SIGTSTP, NULL, &now) && now.sa_handler == suspend)
		signal(SIGTSTP, SIG_DFL);
	if (signals->taken.fd >= 0)
		close(signals->taken.fd);
	interrupt_fd = -1;
	if (signals->interrupt.fd >= 0)
		close(signals->interrupt.fd);
	term_saves = 0;
	term_fd = -1;
	if (signals->term.fd >= 0)
		close(signals->term.fd);
}

const volatile bool *
signals_interrupted(void)
{
	return &interrupted;
}

int
signals_last(void)
{
	return interrupted_by;
}

void
signals_die_of(int number)
{
	sigset_t only;

	signal(number, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, number);
	sigprocmask(SIG_UNBLOCK, &only, NULL);
	raise(number);
}
