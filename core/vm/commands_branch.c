/* SPDX-License-Identifier: BSD-2-Clause */
/* The command branch: its words, and what it refuses before the stop. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "vm/branching.h"
#include "vm/vm_commands.h"

struct branching *
branching_create(struct vm *vm, struct command *command)
{
	struct branching *all = calloc(1, sizeof(*all));

	if (!all)
		return NULL;
	*all = (struct branching){
		.vm = vm,
		.command = command,
		.parent = getpid(),
		.source = { .fd = -1, .ready = branching_reported, .context = all, .outer = true },
		.reports = -1,
		.go = -1,
		.child_reports = -1,
		.child_go = -1,
	};
	snprintf(all->name, sizeof(all->name), "a branch of process %d", all->parent);
	return all;
}

/* Copies a text, with the number of the branch for each %n. malloced, or NULL: no memory. */
static char *
numbered(const char *text, uint32_t number)
{
	char *copy = NULL;
	size_t length;
	FILE *out = open_memstream(&copy, &length);

	if (!out)
		return NULL;
	for (; *text; text++)
		if (text[0] == '%' && text[1] == 'n') {
			fprintf(out, "%u", number);
			text++;
		} else
			putc(*text, out);
	if (!fclose(out))
		return copy;
	free(copy);
	return NULL;
}

int
branching_add(struct branching *all, const char *socket)
{
	struct branch *list = realloc(all->list, (all->count + 1) * sizeof(*list));

	if (!list)
		return -1;
	all->list = list;
	list[all->count] = (struct branch){ .all = all, .socket = strdup(socket) };
	return list[all->count++].socket ? 0 : -1;
}

int
branching_add_set(struct branching *all, const char *text)
{
	struct branch *last = &all->list[all->count - 1];
	char **set = realloc(last->set, (last->set_count + 1) * sizeof(*set));

	if (!set)
		return -1;
	last->set = set;
	set[last->set_count] = numbered(text, all->count - 1);
	return set[last->set_count++] ? 0 : -1;
}

/* Reads the words behind "branch". NULL, or what is wrong. */
static const char *
read_words(struct branching *all, char **words)
{
	int r = 0;

	for (; *words && !r; words++)
		if (!strcmp(*words, "--paused"))
			all->paused = true;
		else if (!strcmp(*words, "--set") && (!all->count || !words[1]))
			return "--set stands behind the socket of its branch, and takes "
			       "device.NAME.KEY=VALUE";
		else if (!strcmp(*words, "--set"))
			r = branching_add_set(all, *++words);
		else if (**words == '-')
			return "an option is unknown; use --set and --paused";
		else if (!**words)
			return "the path of a control socket is empty: nobody could control that "
			       "machine; name a file";
		else
			r = branching_add(all, *words);
	if (r)
		return "there is no memory for it";
	return all->count ? NULL : "name the control socket of each branch";
}

/* The first device that prevents a branch, and why; NULL: none. */
static const char *
obstructing_device(const struct vm *vm, const char **why)
{
	for (size_t i = 0; i < vm->devices.count; i++) {
		const struct device *device = devices_at(&vm->devices, i);

		/* They may hold locks that nobody releases in a child. */
		*why = device_runs_in_pause(device)
			   ? "it has threads that run during a pause (its plugin has "
			     "MINIVMM_UNPARKED): run the machine without it"
			   : device_branch_obstacle(device);
		if (*why)
			return device_name(device);
	}
	return NULL;
}

/* What a branch cannot copy. NULL: nothing. */
static const char *
obstacle(const struct vm *vm)
{
	if (tools_unparked(vm))
		return "a tool has threads that run during a pause (its plugin has "
		       "MINIVMM_UNPARKED); tool list shows the tools, tool remove ends one";
	if (!vm->branches.run)
		return "this machine cannot be branched";
	if (vm->branches.under_way)
		return "another branch is under way; wait for its end";
	if (vm->capture.busy)
		return "a snapshot is under way: wait for its end, or use cancel";
	for (uint32_t i = 0; i < vm->machine.memory.count; i++)
		if (memory_region_at(&vm->machine.memory, i)->shared)
			return "the machine has a memory_file, which fork(2) would share: start it "
			       "without one";
	return NULL;
}

void
command_branch(void *context, struct command *command, int argc, char **argv)
{
	struct vm *vm = context;
	const char *why = obstacle(vm), *device;
	struct branching *all;

	vm->branches.failed = 0;
	if (why) {
		command_fail(command, "branch: %s", why);
		return;
	}
	device = obstructing_device(vm, &why);
	if (device) {
		command_fail(command, "branch: device %s: %s", device, why);
		return;
	}
	all = branching_create(vm, command);
	why = all ? read_words(all, argv + 1) : "there is no memory for it";
	if (why) {
		if (all)
			branching_end(all);
		command_fail(command, "branch: %s", why);
	} else if ((vm->branches.failed = branching_start(all)))
		command_failed(command);
}

int
branches_failed(const struct vm *vm, const char *error)
{
	return vm->branches.failed ? vm->branches.failed : fail(STATUS_USAGE, "%s", error);
}
