/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that read a machine: registers, memory, device state. */
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/limit.h"
#include "base/text.h"
#include "vm/vm_commands.h"

#define MEMORY_MOST 65536u /* bytes per command */

/* Parses an argument; false: it is no number, and the command has ended. */
static bool
number(struct command *command, const char *text, uint64_t *value)
{
	struct why why;

	if (!parse_u64(text, value, &why))
		return true;
	command_fail(command, "%s %s", text, why.text);
	return false;
}

/* Makes room for size bytes, and pauses the machine to save some of its state; false: that failed,
 * and the command has ended. Call end_inspection after true, before the state is printed: that
 * takes longer than saving it. */
static bool
begin_inspection(struct vm *vm, struct command *command, struct record_writer *writer, size_t size)
{
	record_reserve(writer, size);
	if (!machine_pause(&vm->machine, PAUSE_INSPECT))
		return true;
	command_failed(command);
	machine_resume(&vm->machine, PAUSE_INSPECT);
	record_writer_free(writer);
	return false;
}

static void
end_inspection(struct vm *vm)
{
	machine_resume(&vm->machine, PAUSE_INSPECT);
}

/* A record's item as a member of the reply. */
static void
member(FILE *out, const struct record *root, const char *name)
{
	struct record item;

	if (!record_find(root, name, &item))
		return;
	fprintf(out, ",\"%s\":", name);
	record_print_json(out, &item, 0);
}

void
command_registers(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	struct record_writer writer = { 0 };
	struct record root;
	uint64_t vcpu = 0;
	int r;

	if (argc > 1 && !number(command, argv[1], &vcpu))
		return;
	if (vcpu >= vm->machine.vcpu_count) {
		command_fail(command, "there is no vCPU %s; the last one is %u", argv[1],
			     vm->machine.vcpu_count - 1);
		return;
	}
	if (!begin_inspection(vm, command, &writer, CAPTURE_STATE))
		return;
	r = vcpu_save(machine_vcpu(&vm->machine, (uint32_t)vcpu), &writer);
	end_inspection(vm);
	if (r || writer.failed || record_open(writer.data, writer.length, &root, NULL))
		command_failed(command);
	else {
		fprintf(command->reply, ",\"vcpu\":%llu", (unsigned long long)vcpu);
		member(command->reply, &root, "halted");
		member(command->reply, &root, "regs");
		member(command->reply, &root, "sregs");
		command_done(command);
	}
	record_writer_free(&writer);
}

void
command_memory(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	FILE *out = command->reply;
	uint64_t address, length;
	uint8_t *bytes;

	if (!number(command, argv[1], &address) || !number(command, argv[2], &length))
		return;
	if (!length || length > MEMORY_MOST) {
		command_fail(command, "cannot read %s bytes: the limits are 1 and %u", argv[2],
			     MEMORY_MOST);
		return;
	}
	bytes = malloc(length);
	if (!bytes)
		command_fail(command, "no memory%s", limit_remedy(ENOMEM).text);
	else if (memory_read(&vm->machine.memory, address, bytes, length))
		command_fail(command, "0x%llx to 0x%llx is not all guest memory",
			     (unsigned long long)address,
			     (unsigned long long)(address + length - 1));
	else {
		fputs(",\"address\":", out);
		json_hex(out, address);
		fprintf(out, ",\"length\":%llu,\"bytes\":", (unsigned long long)length);
		json_bytes(out, bytes, length);
		command_done(command);
	}
	free(bytes);
}

struct device *
vm_command_device(struct vm *vm, struct command *command, const char *name)
{
	struct device *device = devices_find(&vm->devices, name);

	if (!device)
		command_fail(command, "there is no device %s%s", name,
			     did_you_mean(config_device_nearest(&vm->config, name),
					  "; the command devices lists them")
				 .text);
	return device;
}

void
command_device(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	struct device *device = vm_command_device(vm, command, argv[1]);
	struct record_writer writer = { 0 };
	struct record root;
	int r;

	if (!device || !begin_inspection(vm, command, &writer, device_state_size(device)))
		return;
	r = device_save(device, &writer);
	end_inspection(vm);
	if (r || writer.failed || record_open(writer.data, writer.length, &root, NULL))
		command_failed(command);
	else {
		static const char *const names[] = { "name",   "plugin",  "version", "state",
						     "timers", "streams", NULL };

		for (int i = 0; names[i]; i++)
			member(command->reply, &root, names[i]);
		command_done(command);
	}
	record_writer_free(&writer);
}
