/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reports a crash, a plugin that calls exit(), or a callback that does not return when the process
 * must end: the plugin, the device, the callback, and the offset of the guest's access in its
 * range. A plugin's crash or exit ends the process with STATUS_PLUGIN, a crash of minivmm by the
 * signal. The variables are static because signal handlers belong to the process.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/limit.h"
#include "base/log.h"
#include "cli/cli.h"
#include "vm/vm.h"

#define STACK_SIZE (64u << 10) /* of the handlers: a stack overflow is a crash, too */
#define SECONDS_LEFT 2u        /* for callbacks to return after the signal */
#define STACK_WORDS 8192u      /* searched for return addresses */
#define READER_PATIENCE 1000   /* ms to wait for room in stderr */

static const struct vm *crash_vm;
static uint8_t crash_stack[STACK_SIZE];

/* The current callback of the main thread, and the callback that ran a second ago. */
static const struct bus_current *main_current;
static struct bus_current last;
static pid_t process;                /* 0: nothing is installed */
static pthread_key_t main_thread;    /* its destructor runs if a plugin ends this thread */
static volatile sig_atomic_t ending; /* the signal that ends the process */
static volatile sig_atomic_t seconds;
static atomic_flag crashing = ATOMIC_FLAG_INIT; /* set by the first thread that crashes */

/* The line of a message, on the stack of a handler. */
struct line {
	char text[PIPE_BUF];
	size_t length;
};

/* Adds text; what does not fit is left out. */
static void
say(struct line *line, const char *text)
{
	size_t room = sizeof(line->text) - 1 - line->length, length = strlen(text);

	memcpy(line->text + line->length, text, length < room ? length : room);
	line->length += length < room ? length : room;
}

/* A name from outside. */
static void
say_name(struct line *line, const char *name)
{
	char shown[1024];

	escape_text(shown, sizeof(shown), name, strlen(name));
	say(line, shown);
}

static void
say_hex(struct line *line, uint64_t value)
{
	char text[19] = "0x", *p = text + 2;
	int digits = 1;

	while (digits < 16 && value >> (4 * digits))
		digits++;
	while (digits--)
		*p++ = "0123456789abcdef"[value >> (4 * digits) & 15];
	*p = '\0';
	say(line, text);
}

/* Ends the line and writes it. The process ends also if nobody reads stderr. */
static void
say_end(struct line *line)
{
	line->text[line->length++] = '\n';
	log_ready(line->text, line->length, READER_PATIENCE);
}

static void
restore_terminal(void)
{
	if (crash_vm)
		vm_restore_terminal(crash_vm);
}

/* The machine has not run: its files are as they were before. Not in a child of a plugin. */
static void
undo_start(void)
{
	if (crash_vm && getpid() == process)
		vm_undo_start(crash_vm);
}

static const char *
signal_name(int number)
{
	static const char *const names[] = {
		[SIGABRT] = "SIGABRT", [SIGBUS] = "SIGBUS",   [SIGFPE] = "SIGFPE",
		[SIGHUP] = "SIGHUP",   [SIGILL] = "SIGILL",   [SIGINT] = "SIGINT",
		[SIGSEGV] = "SIGSEGV", [SIGTERM] = "SIGTERM", [SIGXCPU] = "SIGXCPU",
	};

	return number < (int)(sizeof(names) / sizeof(*names)) && names[number] ? names[number]
									       : "signal";
}

static void
say_callback(struct line *line, const struct bus_current *current)
{
	if (current->device) {
		say(line, " in device ");
		say(line, current->device->name);
		say(line, ", callback ");
	} else {
		say(line, " in ");
		say_name(line, current->object);
		say(line, ", ");
	}
	say_name(line, current->callback);
	if (current->offset == BUS_NO_ACCESS)
		return;
	say(line, " at offset ");
	say_hex(line, current->offset);
	say(line, " of its range");
}

/* The first device with code on this thread's stack, or NULL. Return addresses are found without
 * frame pointers: each word is compared. The kernel copies, since the stack may end. */
static const struct device *
device_on_stack(const ucontext_t *context, bool *only)
{
	const uintptr_t sp = (uintptr_t)context->uc_mcontext.gregs[REG_RSP];
	const struct device *found = devices_with_code(
	    &crash_vm->devices, (uintptr_t)context->uc_mcontext.gregs[REG_RIP], only);
	uintptr_t words[512];

	for (size_t at = 0; !found && at < STACK_WORDS; at += sizeof(words) / sizeof(*words)) {
		const struct iovec to = { words, sizeof(words) },
				   from = { (uintptr_t *)(sp & ~7ul) + at, sizeof(words) };
		ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

		if (n <= 0)
			break;
		for (size_t i = 0; !found && i < (size_t)n / sizeof(*words); i++)
			found = devices_with_code(&crash_vm->devices, words[i], only);
	}
	return found;
}

/* Reports where a plugin is at fault. False: it is not. */
static bool
say_plugin(struct line *line, const ucontext_t *context)
{
	const struct bus_current *current = &bus_current;
	const struct device *device;
	bool only;

	if (current->callback) {
		say_callback(line, current);
		say(line, ": ");
		if (current->device) {
			say(line, "plugin ");
			say_name(line, ((const struct service_host *)current->device)->plugin);
		} else
			say(line, "the plugin");
		say(line, " is at fault");
		return true;
	}
	/* Outside of a callback, the main thread runs no code of plugins. */
	device = crash_vm && current != main_current ? device_on_stack(context, &only) : NULL;
	if (!device)
		return false;
	say(line, " in a thread of plugin ");
	say_name(line, device_plugin(device));
	if (only) {
		say(line, ", device ");
		say(line, device_name(device));
	}
	say(line, ": the plugin is at fault");
	return true;
}

#ifdef __SANITIZE_ADDRESS__
void __asan_handle_no_return(void);
#endif

/* Ends the process if a plugin has called a function that ends it, or this thread, without a word:
 * with status 0, the run would pass for a success. minivmm returns from main(). */
static void
leave(const char *function)
{
	struct line line = { .length = 0 };
	ucontext_t context;

#ifdef __SANITIZE_ADDRESS__
	/* pthread_exit() has left frames that ASan takes for live ones. It forgets those above the
	 * stack pointer, and of those below a page at most: line is larger. */
	__asan_handle_no_return();
#endif
	restore_terminal();
	if (getpid() != process || getcontext(&context)) /* a plugin's child */
		return;
	if (!bus_current.callback && !(crash_vm && &bus_current != main_current))
		return;
	say(&line, "minivmm: ");
	say(&line, function);
	say(&line, " is called");
	say_plugin(&line, &context);
	say_end(&line);
	undo_start();
	_exit(STATUS_PLUGIN);
}

static void
exited(void)
{
	leave("exit()");
}

static void
thread_exited(void *unused)
{
	leave("pthread_exit()");
}

static void
crashed(int number, siginfo_t *info, void *context)
{
	struct line line = { .length = 0 };
	char file[512];
	bool plugin;

	/* The first thread that crashes ends the process; the others must not end it before. */
	while (atomic_flag_test_and_set(&crashing))
		pause();
	restore_terminal();
	say(&line, "minivmm: ");
	say(&line, signal_name(number));
	if (number != SIGABRT) {
		say(&line, " at ");
		say_hex(&line, (uintptr_t)info->si_addr);
	}
	/* Another process truncated the file; or its disk fails. Not a bug of minivmm. */
	if (number == SIGBUS && mapped_file((uintptr_t)info->si_addr, file, sizeof(file))) {
		say(&line, ": ");
		say_name(&line, file);
		say(&line,
		    " was truncated while it was in use, or its disk fails; to change a file in "
		    "use, replace it with mv");
		say_end(&line);
		undo_start();
		_exit(STATUS_IO);
	}
	plugin = say_plugin(&line, context);
	say_end(&line);
	undo_start();
	if (plugin)
		_exit(STATUS_PLUGIN);
	/* The signal is blocked until the handler returns; then it ends the process. */
	signal(number, SIG_DFL);
	raise(number);
}

/* Ends the process by the signal. */
static void
die_of(int number)
{
	sigset_t only;

	restore_terminal();
	undo_start();
	signal(number, SIG_DFL);
	sigemptyset(&only);
	sigaddset(&only, number);
	pthread_sigmask(SIG_UNBLOCK, &only, NULL);
	raise(number);
	_exit(128 + number); /* the kernel spares the first process of a container */
}

/* Copies the running callback of the main thread or of a vCPU; false: none. */
static bool
running(struct bus_current *current)
{
	*current = *main_current;
	if (!current->callback && crash_vm)
		machine_callback(&crash_vm->machine, current);
	return current->callback;
}

/* Runs each second from the signal that ends the process until its end. */
static void
look(void)
{
	struct line line = { .length = 0 };
	struct bus_current now;
	bool busy = running(&now);
	bool same = now.callback == last.callback && now.device == last.device;

	last = now;
	if (++seconds < (int)SECONDS_LEFT || (busy ? !same : crash_vm && crash_vm->patient)) {
		alarm(1);
		return;
	}
	restore_terminal();
	say(&line, "minivmm: ");
	say(&line, signal_name(ending));
	say(&line, ": code");
	if (busy)
		say_callback(&line, &now);
	say(&line, " does not return; exiting anyway");
	say_end(&line);
	die_of(ending);
}

static void
fatal(int number)
{
	struct line line = { .length = 0 };

	if (number == SIGALRM && ending) {
		look();
		return;
	}
	if (number == SIGXCPU) {
		say(&line, "minivmm: " LIMIT_CPU_TEXT);
		say_end(&line);
	}
	die_of(number);
}

void
crash_deadline(int number)
{
	if (ending)
		return;
	ending = number;
	alarm(1);
}

/* Signals that end a process by default and that minivmm does not use. */
static void
install_fatal(void)
{
	static const int signals[] = { SIGALRM, SIGUSR2, SIGVTALRM, SIGPROF,  SIGIO,
				       SIGPWR,  SIGXCPU, SIGSYS,    SIGSTKFLT };
	const struct sigaction action = { .sa_handler = fatal,
					  .sa_flags = SA_RESTART | SA_ONSTACK };

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaction(signals[i], &action, NULL);
	for (int i = SIGRTMIN; i <= SIGRTMAX; i++)
		sigaction(i, &action, NULL);
}

static void
ends(int number)
{
	die_of(number);
}

/*
 * While a machine is built, a signal undoes that; signals_take replaces these handlers. And the
 * first process of a container gets no signal without a handler: Ctrl-C and docker stop would have
 * no effect. Its children get it as usual.
 */
static void
install_ends(bool builds)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };
	const struct sigaction action = { .sa_handler = ends, .sa_flags = SA_RESTART | SA_ONSTACK };
	bool needed = builds || getpid() == 1;
	struct sigaction now;

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		if (sigaction(signals[i], NULL, &now))
			continue;
		if (needed && now.sa_handler == SIG_DFL)
			sigaction(signals[i], &action, NULL);
		else if (!needed && now.sa_handler == ends)
			signal(signals[i], SIG_DFL);
	}
}

void
crash_install(const struct vm *vm)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT };
	struct sigaction action = { .sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	const stack_t stack = { .ss_sp = crash_stack, .ss_size = sizeof(crash_stack) };
	bool installed = process == getpid();

	crash_vm = vm;
	main_current = &bus_current;
	sigaltstack(&stack, NULL);
	if (!process && !pthread_key_create(&main_thread, thread_exited))
		pthread_setspecific(main_thread, &main_thread);
	if (!process)
		atexit(exited);
	process = getpid();
	/* All are blocked in the handler: a fault there ends the process, as the kernel does then.
	 */
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++)
		sigaddset(&action.sa_mask, signals[i]);
	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals) && !installed; i++)
		sigaction(signals[i], &action, NULL);
	if (!installed)
		install_fatal();
	install_ends(vm);
}

void
crash_remove(void)
{
	alarm(0);
	crash_vm = NULL;
}
