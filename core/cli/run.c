/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm -c and -r: a VM from its building to its end. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/runtime.h"
#include "base/socket.h"
#include "cli/cli.h"
#include "cli/copies.h"
#include "cli/disassemble.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "control/control.h"
#include "machine/machine_run.h"
#include "vm/report.h"
#include "vm/vm.h"

struct run {
	const struct run_options *options;
	struct vm vm;
	struct trace trace;
	struct symbols symbols; /* of --symbols */
	struct control control;
	struct signals signals;
	struct progress progress; /* of the stop's snapshot */
	int passed; /* a control socket that the service manager has passed; -1: none */
};

/* While the snapshot of the stop is written: shows progress; true, to cancel it, after Ctrl-C. */
static bool
poll_save(void *context, uint64_t done, uint64_t total)
{
	struct run *run = context;

	if (total && !*signals_interrupted())
		progress_draw(&run->progress, done, total);
	else
		progress_wipe(&run->progress);
	return *signals_interrupted();
}

/* Where to stop and what for: the command line, or else [snapshot]. */
static int
plan(struct run *run)
{
	const struct run_options *o = run->options;
	const struct config *config = &run->vm.config;
	struct vm_stop stop = { .text = o->until ? o->until : o->at,
				.poll = poll_save,
				.context = run };
	char where[256] = "--until";

	if (o->branch)
		return 0;
	if (o->until || o->at || o->save) {
		const char *mistake = o->until && o->at ? "give either --until or --at"
				      : !stop.text && !o->timeout
					  ? "--save needs --until, --at or --timeout"
				      : o->at && !o->save ? "--at needs --save"
							  : NULL;

		if (mistake)
			return fail(STATUS_USAGE,
				    "%s: use --until CONDITION, --until CONDITION --save FILE, "
				    "--at CONDITION --save FILE, or --timeout TIME --save FILE",
				    mistake);
		if (!o->until)
			strcpy(where, o->at ? "--at" : "--timeout");
		stop.save = o->save;
		stop.ends = o->until != NULL;
	} else if (config->snapshot.at) {
		stop.text = config->snapshot.at;
		stop.save = config->snapshot.file;
		stop.ends = config->snapshot.then == THEN_EXIT;
		config_where(config->snapshot.place, where, sizeof(where));
	}
	return vm_stop_plan(&run->vm, &stop, where);
}

/* Before signals are taken: opening a pipe may wait for its reader. */
static int
open_outputs(struct run *run)
{
	const struct run_options *o = run->options;
	struct machine *m = &run->vm.machine;
	int r = o->trace ? trace_open(&run->trace, o->trace, machine_made_outputs(m)) : 0, fd;
	struct why why;

	/* Nobody else may take the name. A pipe may get its reader later. */
	if (!r && o->status && file_descriptor(o->status) < 0) {
		fd = file_open(o->status, FILE_TEXT);
		if (fd < 0 && errno != ENXIO) {
			file_why(o->status, errno, &why);
			r = fail(why_status(&why, STATUS_IO), "cannot write the status to %s: %s",
				 o->status, why.text);
		}
		close(fd);
	}
	run->trace.symbols = o->symbols ? &run->symbols : NULL;
	if (!r && o->trace)
		machine_set_trace(m, &run->trace);
	else if (o->trace)
		trace_close(&run->trace);
	return r;
}

static void
log_instruction(void *context, const char *text)
{
	log_line(MINIVMM_INFO, NULL, "  %s", text);
}

/* Finds out how far KASLR has moved the kernel of the symbols. */
static void
find_kernel(struct run *run)
{
	if (symbols_kernel(&run->symbols))
		run->symbols.shift = report_kernel_offset(&run->vm);
}

/* Reads the symbols. They name addresses of a restored kernel from the beginning. */
static int
open_symbols(struct run *run)
{
	const char *path = run->options->symbols;
	struct why why;

	if (!path)
		return 0;
	if (symbols_open(&run->symbols, path, &why))
		return fail(why_status(&why, STATUS_USAGE), "--symbols: %s %s", path, why.text);
	if (vm_restored(&run->vm) && !run->options->check)
		find_kernel(run);
	return 0;
}

/* Reports an end that a fault caused, with the instructions that it happened at. */
static void
show_fault(struct run *run)
{
	struct machine *machine = &run->vm.machine;
	struct vcpu_code code;

	if (machine->end.cause == CAUSE_SHUTDOWN)
		find_kernel(run);
	report_end(machine, run->options->symbols ? &run->symbols : NULL, &code);
	if (log_enabled(MINIVMM_INFO))
		disassemble(code.bytes, code.length, code.at, code.bits, signals_interrupted(),
			    log_instruction, NULL);
}

/* Waits until all branches of one command are ready: nothing that can fail for want of resources
 * comes later. 0 or a negative status. */
static int
wait_for_branches(struct run *run)
{
	const struct branch *branch = run->vm.source.branch;
	int r;

	if (!branch)
		return 0;
	branch_started(branch);
	if (branch_paused(branch))
		machine_pause(&run->vm.machine, PAUSE_OPERATOR);
	r = machine_start_threads(&run->vm.machine);
	return r ? r : branch_ready(branch, 0);
}

/* Stores the path of the control socket; "": none. 0 or a negative status. */
static int
find_socket(const struct run *run, char *path, size_t size)
{
	const struct config *config = &run->vm.config;
	const struct branch *branch = run->vm.source.branch;
	const char *socket = branch ? branch_socket(branch) : config->control.socket;
	struct why why;

	*path = '\0';
	if (!branch && config->control.name) {
		if (socket)
			return fail(STATUS_USAGE, "[control] socket and name: the machine has one "
						  "control socket; remove one of the keys");
		if (runtime_socket(config->control.name, path, size, &why) || runtime_create(&why))
			return fail(STATUS_USAGE, "[control] name = %s: %s", config->control.name,
				    why.text);
	} else if (socket && (size_t)snprintf(path, size, "%s", socket) >= size)
		return fail(STATUS_USAGE, "[control] socket: the path is too long");
	return 0;
}

static int
start_and_run(struct run *run)
{
	struct vm *vm = &run->vm;
	struct machine *machine = &vm->machine;
	const struct config *config = &vm->config;
	int r = signals_take(&run->signals, vm), stopped, closed;
	char socket[PATH_MAX];

	if (!r)
		r = vm_start(vm);
	if (!r && run->options->branch) {
		r = copies_make(vm, run->options->branch);
		stopped = vm_stop(vm, signals_interrupted());
		return r ? r : stopped;
	}
	if (!r && run->passed < 0)
		r = find_socket(run, socket, sizeof(socket));
	if (!r && run->passed >= 0)
		r = control_open_passed(&run->control, &machine->loop, run->passed, vm_commands,
					vm);
	else if (!r && *socket)
		r = control_open(&run->control, &machine->loop, socket, vm_commands, vm);
	if (!r)
		r = wait_for_branches(run);
	if (!r && run->options->paused)
		machine_pause(machine, PAUSE_OPERATOR);
	if (!r) {
		vm_stop_warn_past(vm, vm->stop.text);
		r = vm_run(vm);
	}
	signals_ended(&run->signals);
	if (!r)
		show_fault(run);
	if (!r)
		vm_stop_warn_missed(vm);
	control_close(&run->control);
	stopped = vm_stop(vm, signals_interrupted());
	if (!r && run->options->registers)
		report_registers(machine);
	if (!r && config->vm.dirty_log)
		report_dirty(machine);
	if (run->options->trace) {
		closed = trace_close(&run->trace);
		r = r ? r : closed;
	}
	return r ? r : stopped;
}

/* The status with which the process ends. */
static int
exit_status(const struct run *run, int r)
{
	const struct machine *machine = &run->vm.machine;
	const struct machine_end *end = &machine->end;

	if (run->vm.saved_status && !signals_last())
		return r ? -r : run->vm.saved_status;
	if (end->cause == CAUSE_SIGNAL)
		return 128 + (int)end->status; /* as a shell shows the death that follows */
	if (signals_last())
		return 128 + signals_last();
	if (r)
		return -r;
	if (run->vm.stop.error)
		return -run->vm.stop.error;
	return report_exit(end);
}

/* A descriptor that a path stands for was handed over: it is open before any of ours is. */
static int
check_descriptor(const char *option, const char *path, int fd)
{
	if (fd < 0 || fcntl(fd, F_GETFD) >= 0)
		return 0;
	return fail(STATUS_IO,
		    "%s %s: descriptor %d is not open; pass it with %d>FILE or %d>&1 in a shell",
		    option, path, fd, fd, fd);
}

/* Before the first descriptor is opened, which may get the number of one that is missing. *passed:
 * the control socket that was passed; -1: none. */
static int
check_descriptors(const struct run_options *options, int *passed)
{
	const char *save = options->save, *status = options->status, *trace = options->trace;
	int fd = -1, r = 0;
	struct why why;

	if (socket_take_listener(passed, &why))
		return fail(STATUS_IO, "cannot use the control socket of LISTEN_FDS: %s", why.text);

	if (save && !vm_descriptor(save, &fd))
		r = check_descriptor("--save", save, fd);
	if (!r && status)
		r = check_descriptor("--status", status, file_descriptor(status));
	if (!r && trace)
		r = check_descriptor("--trace", trace, file_descriptor(trace));
	return r;
}

static int run_branch(void *context, const struct branch *branch);

static int
build(struct run *run)
{
	const struct run_options *o = run->options;
	const struct vm_source source = { .config = o->config,
					  .restore = o->restore,
					  .parents = o->parents,
					  .parent_count = o->parent_count,
					  .set = o->set,
					  .set_count = o->set_count,
					  .tools = o->tools,
					  .tool_count = o->tool_count,
					  .trace = o->trace,
					  .status = o->status,
					  .timeout = o->timeout,
					  .trust = o->trust,
					  .held = o->branch != NULL,
					  .continues = o->restore_or_start,
					  .check = o->check };
	int r = vm_build(&run->vm, &source), planned;

	if (!run->vm.built)
		return r;
	vm_set_branch(&run->vm, run_branch, run);
	planned = plan(run);
	return r ? r : planned;
}

static void
destroy(struct run *run)
{
	run->vm.patient = true; /* to give back much memory takes long */
	vm_destroy(&run->vm);
	crash_remove();
	signals_close(&run->signals);
	symbols_free(&run->symbols);
	free(run);
}

/* In the process of a branch: nothing of the machine that it copies is left but its memory. */
static int
run_branch(void *context, const struct branch *branch)
{
	static const struct run_options none;
	struct run *run = calloc(1, sizeof(*run));
	struct vm_source source = { .branch = branch };
	int r, status;

	if (!run)
		return -branch_ready(branch, fail_memory("a branch"));
	run->options = &none;
	run->passed = -1;
	run->signals.taken.fd = run->signals.interrupt.fd = run->signals.term.fd = -1;
	source.set = branch_set(branch, &source.set_count);
	crash_install(&run->vm);
	r = vm_build(&run->vm, &source);
	vm_set_branch(&run->vm, run_branch, run);
	if (!r)
		r = start_and_run(run);
	branch_ready(branch, r); /* has no effect if it was ready */
	status = exit_status(run, r);
	destroy(run);
	fflush(stdout);
	return status;
}

int
cli_run(const struct run_options *options)
{
	struct run *run = calloc(1, sizeof(*run));
	int r, status, reported;

	if (!run)
		return -fail_memory("the command line");
	run->options = options;
	run->signals.taken.fd = run->signals.interrupt.fd = run->signals.term.fd = -1;
	r = check_descriptors(options, &run->passed);
	if (r) {
		free(run);
		return -r;
	}
	crash_install(&run->vm);
	if (options->status && !options->check)
		report_forget(options->status);
	r = build(run);
	if (!r)
		r = open_symbols(run);
	if (!r && !options->check)
		r = open_outputs(run);
	if (!r && !options->check) {
		r = start_and_run(run);
		if (options->status) {
			reported = report_status(&run->vm, exit_status(run, r));
			r = r ? r : reported;
		}
	} else if (r && options->status && !options->check)
		report_refused(options->status, -r);
	status = exit_status(run, r);
	destroy(run);
	if (signals_last())
		signals_die_of(signals_last());
	return status;
}
