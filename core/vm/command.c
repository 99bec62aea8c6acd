/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds a command in its table, and ends it. */
#include "vm/command.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/habits.h"
#include "base/json.h"
#include "base/text.h"

static const struct command_row help = { "help", "help", "lists the commands", 0, 0, true,
					 NULL,   NULL };

int
command_take_fd(struct command *command)
{
	int fd = command->fd;

	command->fd = -1;
	return fd;
}

void
command_done(struct command *command)
{
	command->end(command, NULL);
}

void
command_fail(struct command *command, const char *format, ...)
{
	char *error = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&error, format, arguments) < 0)
		error = NULL;
	va_end(arguments);
	command->end(command, error ? error : "no memory");
	free(error);
}

static void
member(FILE *out, const char *before, const char *text)
{
	fputs(before, out);
	json_text(out, text, strlen(text));
}

static void
run_help(struct command *command, const struct command_row *table)
{
	FILE *out = command->reply;

	fputs(",\"commands\":[", out);
	for (const struct command_row *c = &help; c->name; c = c == &help ? table : c + 1) {
		member(out, c == &help ? "{\"name\":" : ",{\"name\":", c->name);
		member(out, ",\"usage\":", c->usage);
		member(out, ",\"help\":", c->help);
		putc('}', out);
	}
	putc(']', out);
	command_done(command);
}

static void
unknown(struct command *command, const struct command_row *table, const char *name)
{
	const char *near = NULL, **names, *ours = habit(HABIT_CONTROL, name);
	size_t count = 0;

	if (ours) {
		command_fail(command, "unknown command %s; %s", name, ours);
		return;
	}

	while (table[count].name)
		count++;
	names = calloc(count + 2, sizeof(*names));
	if (names) {
		for (size_t i = 0; i < count; i++)
			names[i] = table[i].name;
		names[count] = help.name;
		near = nearest(name, names);
	}
	free(names);
	command_fail(command, "unknown command %s%s", name,
		     did_you_mean(near, "; help lists them").text);
}

bool
command_may_run_now(const struct command_row *table, void *context, const char *name)
{
	while (table->name && strcmp(table->name, name))
		table++;
	if (!table->name) /* help, and what does not exist */
		return true;
	return table->any_time || (table->urgent && table->urgent(context));
}

void
command_run(const struct command_row *table, void *context, struct command *command, int argc,
	    char **argv)
{
	const struct command_row *row = table;
	unsigned arguments = (unsigned)argc - 1;

	while (row->name && strcmp(row->name, argv[0]))
		row++;
	if (!strcmp(argv[0], help.name))
		row = &help;
	if (!row->name)
		unknown(command, table, argv[0]);
	else if (arguments < row->least || arguments > row->most)
		command_fail(command, "%s takes %s arguments; usage: %s", row->name,
			     arguments < row->least ? "more" : "fewer", row->usage);
	else if (row == &help)
		run_help(command, table);
	else
		row->run(context, command, argc, argv);
}
