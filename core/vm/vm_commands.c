/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of commands, and those that pause, run, reset and end the machine. */
#include "vm/vm_commands.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "vm/vm_status.h"

void
command_failed(struct command *command)
{
	command_fail(command, "%s", fail_text());
}

static void
command_status(void *context, struct command *command, int argc, char **argv)
{
	vm_status(command->reply, context);
	command_done(command);
}

static void
command_devices(void *context, struct command *command, int argc, char **argv)
{
	fputs(",\"devices\":", command->reply);
	vm_status_devices(command->reply, context);
	command_done(command);
}

/* Pauses for the operator, once: one resume ends it. 0 or a negative status. */
static int
pause_for_operator(struct machine *machine)
{
	return machine_paused_for(machine, PAUSE_OPERATOR) ? 0
							   : machine_pause(machine, PAUSE_OPERATOR);
}

static void
command_pause(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;

	if (pause_for_operator(&vm->machine)) {
		command_failed(command);
		machine_resume(&vm->machine, PAUSE_OPERATOR);
		return;
	}
	fputs(",\"state\":\"paused\"", command->reply);
	command_done(command);
}

static void
command_resume(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;

	/* A snapshot may keep the machine paused until it is written. */
	if (machine_resume(&vm->machine, PAUSE_OPERATOR)) {
		command_failed(command);
		return;
	}
	fprintf(command->reply, ",\"state\":\"%s\"",
		machine_running(&vm->machine) ? "running" : "paused");
	command_done(command);
}

/* The stop condition of "until" is hit: the machine stays paused, and the command's reply says so.
 */
static int
at_until(void *context)
{
	struct vm *vm = context;
	struct command *command = vm->until;
	const char *text = vm->until_text;
	FILE *out;

	if (!command) /* withdrawn */
		return 0;
	out = command->reply;
	vm->until = NULL;
	vm->until_text = NULL;
	pause_for_operator(&vm->machine);
	/* Before the reply: a client that waits for output can read it then. */
	devices_flush(&vm->devices);
	fputs(",\"point\":", out);
	json_text(out, text, strlen(text));
	fputs(",\"state\":\"paused\",\"time_ns\":", out);
	json_hex(out, clock_now(&vm->machine.clock));
	command_done(command);
	return 0;
}

/* Sets the stop condition of "until" on the paused machine. 0, or -1 with the reason in why. */
static int
set_until(struct vm *vm, const char *text, struct why *why)
{
	const struct stop_handler handler = { .hit = at_until, .context = vm };
	const struct stop *stop = &vm->machine.stop;
	int r = 0;

	if (vm_stop_set(vm, text, &handler, why))
		return -1;
	if (stop->kind == STOP_TIME && stop->value <= clock_now(&vm->machine.clock))
		r = why_set(why, "is in the past: the VM's clock is later already");
	else if (stop->kind == STOP_STEP)
		r = kvm_step_check(&vm->machine.kvm, why);
	if (!r)
		return 0;
	machine_stop_clear(&vm->machine);
	return why_prefix(why, "%s ", text);
}

bool
vm_withdraw_until(struct vm *vm, const char *why)
{
	struct command *command = vm->until;

	if (!command)
		return false;
	vm->until = NULL;
	vm->until_text = NULL;
	/* If the pause is refused, the condition stays; when it is hit, at_until() does nothing. */
	if (!machine_pause(&vm->machine, PAUSE_INSPECT))
		machine_stop_clear(&vm->machine);
	machine_resume(&vm->machine, PAUSE_INSPECT);
	command_fail(command, "%s", why);
	return true;
}

/* The client of "until" has disconnected: nobody waits for the stop condition any more. */
static void
until_left(struct command *command)
{
	vm_withdraw_until(command->context, "");
}

static void
command_until(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	struct why why;

	if (vm->until || vm->machine.stop.kind != STOP_NONE) {
		command_fail(command, "the run has a stop condition already: %s",
			     vm->until ? vm->until_text : "[snapshot] at, --at or --until");
		return;
	}
	if (machine_pause(&vm->machine, PAUSE_INSPECT))
		command_failed(command);
	else if (set_until(vm, argv[1], &why))
		command_fail(command, "%s", why.text);
	else {
		vm->until = command;
		vm->until_text = argv[1];
		command->left = until_left;
		command->context = vm;
		machine_resume(&vm->machine, PAUSE_OPERATOR);
	}
	machine_resume(&vm->machine, PAUSE_INSPECT);
}

static void
command_reset(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;

	if (!vm_restored(vm))
		command_fail(command, "reset needs a snapshot: start the machine with -r");
	else if (vm->capture.busy && !capture_is_cancelled(&vm->capture))
		command_fail(command,
			     "a snapshot is in progress: wait until it ends, or use cancel");
	else {
		capture_end(&vm->capture);
		if (vm_reset(vm))
			command_failed(command);
		else
			command_done(command);
	}
}

/* A reset cancels a snapshot that waits for a device. It runs when that has failed. */
static bool
reset_urgent(void *context)
{
	struct vm *vm = context;

	if (vm_restored(vm) && capture_in_devices(&vm->capture))
		capture_cancel(&vm->capture);
	return false;
}

/* Only a snapshot can be cancelled while the machine pauses for another command. */
static bool
cancel_urgent(void *context)
{
	struct vm *vm = context;

	return vm->capture.busy || vm->core;
}

static void
command_log(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	int level = log_level_parse(argv[1]);

	if (level < 0) {
		command_fail(command, "%s is not error, warn, info or debug", argv[1]);
		return;
	}
	log_set_level((enum minivmm_level)level);
	devices_log_level(&vm->devices);
	command_done(command);
}

static void
command_quit(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;

	command_done(command);
	machine_end(&vm->machine, CAUSE_QUIT, 0);
}

const struct command_row vm_commands[] = {
	{ "status", "status", "state, time, exits, devices, the snapshot in progress", 0, 0, true,
	  command_status, NULL },
	{ "pause", "pause", "stop the machine and its clock", 0, 0, false, command_pause, NULL },
	{ "resume", "resume", "end the pause", 0, 0, false, command_resume, NULL },
	{ "snapshot", "snapshot FILE [full|diff] [live|paused] [apart]",
	  "write a snapshot; FILE - is the descriptor that came with the request", 1, 4, false,
	  command_snapshot, NULL },
	{ "core", "core FILE", "write a core file for gdb, crash and drgn", 1, 1, false,
	  command_core, NULL },
	{ "cancel", "cancel", "cancel the snapshot or core in progress, or withdraw until", 0, 0,
	  false, command_cancel, cancel_urgent },
	{ "branch", "branch {SOCKET [--set device.NAME.KEY=VALUE]...}... [--paused]",
	  "copy the machine: each copy is a process with its own control socket", 1, UINT_MAX,
	  false, command_branch, NULL },
	{ "registers", "registers [N]", "the registers of a vCPU", 0, 1, false, command_registers,
	  NULL },
	{ "memory", "memory ADDRESS LENGTH", "guest memory in hexadecimal", 2, 2, false,
	  command_memory, NULL },
	{ "devices", "devices", "each device's plugin and counts of accesses", 0, 0, true,
	  command_devices, NULL },
	{ "device", "device NAME", "the device's state, as in a snapshot", 1, 1, false,
	  command_device, NULL },
	{ "connect", "connect DEVICE [PORT]",
	  "connect the socket that came with the request to a port of the guest, or to a line", 1,
	  2, false, command_connect, NULL },
	{ "until", "until CONDITION", "run to a stop condition and pause there", 1, 1, false,
	  command_until, NULL },
	{ "reset", "reset", "return to the snapshot or the branch that the machine began as", 0, 0,
	  false, command_reset, reset_urgent },
	{ "tool", "tool list|add|remove [PLUGIN[:KEY=VALUE,...]|NAME]",
	  "show, load and end tools, such as gdb", 1, 2, false, command_tool, NULL },
	{ "log", "log LEVEL", "set the log level: error, warn, info or debug", 1, 1, true,
	  command_log, NULL },
	{ "quit", "quit", "end the machine", 0, 0, true, command_quit, NULL },
	{ .name = NULL },
};
