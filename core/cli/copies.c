/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm -r SNAPSHOT --branch: new machines from one snapshot. The machine is restored once, does
 * not run, and is branched: the new machines share the mapping of its file.
 */
#include "cli/copies.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/log.h"
#include "cli/show.h"
#include "machine/machine_run.h"
#include "vm/vm.h"

/* The command branch, of which this is the carrier. */
struct copies {
	struct command command; /* first member: a cast leads back */
	struct vm *vm;
	char *reply; /* malloced */
	size_t length;
	int status; /* 0 or a negative status */
};

/* Prints the reply as minivmm ctl does. */
static int
show(const char *reply)
{
	struct json object;
	struct why why;

	if (json_open(reply, strlen(reply), &object, &why))
		return fail(STATUS_BUG, "--branch: the reply %s", why.text);
	show_json_members(stdout, &object, "ok", 0, false);
	return show_end(stdout);
}

/* The command has ended: so does the machine. */
static void
ended(struct command *command, const char *error)
{
	struct copies *c = (struct copies *)command;
	bool complete = !ferror(command->reply);

	fputs("}", command->reply);
	complete &= !fclose(command->reply);
	if (error)
		c->status = branches_failed(c->vm, error);
	else
		c->status = complete ? show(c->reply) : fail_memory("the reply");
	free(c->reply);
	machine_end(&c->vm->machine, CAUSE_QUIT, 0);
}

int
copies_make(struct vm *vm, char **words)
{
	struct machine *m = &vm->machine;
	struct copies c = { .command = { .fd = -1, .end = ended }, .vm = vm };
	int r = machine_start_threads(m), count = 0;

	if (!r)
		r = machine_pause(m, PAUSE_OPERATOR);
	if (!r)
		r = machine_try_resume(m); /* it stays paused, and so do its devices */
	if (r)
		return r;
	c.command.reply = open_memstream(&c.reply, &c.length);
	if (!c.command.reply)
		return fail_memory("the reply");
	fputs("{\"ok\":true", c.command.reply); /* members begin with a comma */
	while (words[count])
		count++;
	command_run(vm_commands, vm, &c.command, count, words);
	r = vm_run(vm);
	return r ? r : c.status;
}
