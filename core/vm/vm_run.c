/* SPDX-License-Identifier: BSD-2-Clause */
/* Starts, runs, stops, resets and saves a VM. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/limit.h"
#include "base/log.h"
#include "vm/vm_commands.h"

int
vm_start(struct vm *vm)
{
	int r = devices_start(&vm->devices, vm_restored(vm) ? MINIVMM_RESTORED : MINIVMM_FRESH);

	return r ? r : tools_start(vm);
}

static void
on_timeout(struct loop_timer *timer, uint64_t periods)
{
	machine_end(timer->context, CAUSE_TIMEOUT, 0);
}

/* Runs the machine, for at most source.timeout. */
static int
run_for(struct vm *vm)
{
	struct machine *m = &vm->machine;
	uint64_t end;
	int r;

	/* Beyond the clock's range there is no limit. */
	if (!vm->source.timeout ||
	    __builtin_add_overflow(clock_now(&m->clock), vm->source.timeout, &end) ||
	    end > INT64_MAX)
		return machine_run(m);
	vm->timeout = (struct loop_timer){ .fire = on_timeout, .context = m };
	loop_timer_add(&m->loop, &vm->timeout);
	loop_timer_set(&m->loop, &vm->timeout, end, 0);
	r = machine_run(m);
	loop_timer_remove(&m->loop, &vm->timeout);
	return r;
}

int
vm_run(struct vm *vm)
{
	struct command *until;
	int r;

	r = vm->machine.end.cause ? 0 : run_for(vm);
	if (!r && vm->machine.end.cause == CAUSE_TIMEOUT)
		vm_stop_timeout(vm);
	until = vm->until;
	vm->until = NULL;
	if (until)
		command_fail(until, "the machine ended before stop condition %s was hit: %s",
			     vm->until_text, machine_cause_name(vm->machine.end.cause));
	branches_end(vm);
	capture_end(&vm->capture);
	vm_core_end(vm);
	return r;
}

int
vm_stop(struct vm *vm, const volatile bool *interrupted)
{
	tools_stop(vm);
	return devices_stop(&vm->devices, interrupted);
}

/* Resets are prepared when they are first needed. A failure changes nothing: a branch may have lost
 * its keeper. */
static int
prepare_reset(struct vm *vm)
{
	const struct branch *branch = vm->source.branch;
	int r;

	if (vm->reset.snapshot)
		return reset_ready(&vm->reset);
	r = reset_init(&vm->reset, &vm->snapshot, branch ? branch_beginning(branch) : NULL,
		       &vm->machine, &vm->devices);
	if (r)
		reset_free(&vm->reset);
	return r;
}

int
vm_reset_remember(struct vm *vm)
{
	int r = prepare_reset(vm);

	return r ? r : reset_remember(&vm->reset);
}

const char *
vm_reset_difference(const struct vm *vm)
{
	return reset_difference(&vm->reset);
}

int
vm_reset(struct vm *vm)
{
	int r = prepare_reset(vm); /* before the pause, which cancels deferred accesses */

	if (r)
		return r;
	r = machine_pause(&vm->machine, PAUSE_RESET);
	if (r) { /* nothing has changed yet */
		machine_resume(&vm->machine, PAUSE_RESET);
		return r;
	}
	/* The load would overwrite an end that came while the devices paused. */
	if (machine_ended(&vm->machine) && !machine_paused_for(&vm->machine, PAUSE_NOT_RUN))
		r = fail(STATUS_USAGE, "cannot reset the machine: it has ended");
	if (!r)
		r = capture_reset(&vm->capture, &vm->reset);
	if (r)
		machine_end(&vm->machine, CAUSE_ERROR, (uint64_t)-r);
	if (!r)
		tools_replaced(vm);
	machine_resume(&vm->machine, PAUSE_RESET);
	return r;
}

void
vm_undo_start(const struct vm *vm)
{
	made_files_undo(&vm->machine.made);
}

void
vm_restore_terminal(const struct vm *vm)
{
	stream_terminal_restore((struct stream_hub *)&vm->devices.streams);
}

void
vm_continue_terminal(struct vm *vm)
{
	stream_terminal_continue(&vm->devices.streams);
}
