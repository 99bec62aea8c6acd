/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs the commands of tools. */
#include "vm/tool_commands.h"

#include <stdlib.h>
#include <string.h>

#include "vm/vm.h"

#define WORDS_MAX 512u /* as on the control socket */
#define BYTES_MAX 16384u

static void
free_command(struct tool_command *c)
{
	if (c->command.reply)
		fclose(c->command.reply);
	free(c->reply);
	free(c->words);
	free(c->error);
	free(c);
}

/* Copies words into one block behind their pointers; NULL: no memory, or too many. */
static char **
copy_words(const char *const *words, uint32_t count)
{
	size_t bytes = 0;
	char **copy, *at;

	for (uint32_t i = 0; i < count; i++)
		bytes += strlen(words[i]) + 1;
	copy = count && count <= WORDS_MAX && bytes <= BYTES_MAX
		   ? calloc(1, (count + 1) * sizeof(*copy) + bytes)
		   : NULL;
	at = copy ? (char *)&copy[count + 1] : NULL;
	for (uint32_t i = 0; copy && i < count; i++) {
		copy[i] = strcpy(at, words[i]);
		at += strlen(at) + 1;
	}
	return copy;
}

/* The end of a command; see struct command. The tool may have ended before. */
static void
ended(struct command *command, const char *error)
{
	struct tool_command *c = (struct tool_command *)command;

	if (!c->tool) {
		free_command(c);
		return;
	}
	c->error = error ? strdup(error) : NULL;
	c->ended = true;
	tools_wake(c->tool->vm);
}

uint64_t
vm_tool_commands_add(struct vm_tool *tool, const char *const *words, uint32_t count)
{
	struct tool_command *c = calloc(1, sizeof(*c)), **last = &tool->commands;

	if (!c)
		return 0;
	c->command = (struct command){ .fd = -1, .end = ended };
	c->command.reply = open_memstream(&c->reply, &c->length);
	c->words = copy_words(words, count);
	if (!c->command.reply || !c->words) {
		free_command(c);
		return 0;
	}
	c->tool = tool;
	c->count = (int)count;
	c->id = ++tool->vm->tools.last_command;
	while (*last)
		last = &(*last)->next;
	*last = c;
	tools_wake(tool->vm);
	return c->id;
}

/* Tells the tool of the end of a command. A reply begins with a comma. */
static void
answer(struct tool_command *c)
{
	struct minivmm_event event = {
		.kind = MINIVMM_ANSWERED, .size = sizeof(event), .id = c->id, .error = c->error
	};
	char *text = NULL;

	fflush(c->command.reply);
	if (!c->error && asprintf(&text, "{%s}", c->length ? c->reply + 1 : "") < 0) {
		text = NULL;
		event.error = "no memory";
	}
	event.text = text ? text : "{}";
	tool_event(&c->tool->devices, &event);
	free(text);
}

void
vm_tool_commands_work(struct vm_tool *tool)
{
	struct tool_command **at = &tool->commands, *c;

	/* A tool can add commands in the event. */
	while ((c = *at)) {
		if (!c->begun) {
			c->begun = true;
			command_run(vm_commands, tool->vm, &c->command, c->count, c->words);
		}
		if (!c->ended) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		answer(c);
		free_command(c);
	}
}

void
vm_tool_commands_forget(struct vm_tool *tool)
{
	struct tool_command *c = tool->commands, *next;

	tool->commands = NULL;
	for (; c; c = next) {
		next = c->next;
		c->tool = NULL;
		c->command.gone = true;
		if (!c->begun || c->ended)
			free_command(c);
		else if (c->command.left)
			c->command.left(&c->command); /* may end it */
	}
}

bool
vm_tool_is_caller(const struct vm_tool *tool, const struct command *command)
{
	for (const struct tool_command *c = tool->commands; c; c = c->next)
		if (&c->command == command)
			return true;
	return false;
}
