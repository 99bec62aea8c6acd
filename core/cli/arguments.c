/* SPDX-License-Identifier: BSD-2-Clause */
/* The only parser of command lines. */
#include "cli/arguments.h"

#include <stdio.h>
#include <string.h>

#include "base/habits.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/show.h"

void
arguments_begin(struct arguments *a, const struct cli_command *command, int argc, char **argv)
{
	*a = (struct arguments){
		.command = command,
		.options = command ? command->options : cli_run_options,
		.operands = argv + 1,
		.argv = argv,
		.argc = argc,
		.next = 1,
	};
}

/* The beginning of a message: "batch: ", or nothing for a run. */
struct prefix {
	char text[40];
};

static struct prefix
prefix(const struct arguments *a)
{
	struct prefix p = { "" };

	if (a->command)
		snprintf(p.text, sizeof(p.text), "%s: ", a->command->name);
	return p;
}

/* The end of a message: the command whose output helps. */
static struct prefix
see_help(const struct arguments *a)
{
	struct prefix p;

	snprintf(p.text, sizeof(p.text), "; see minivmm %s%s--help",
		 a->command ? a->command->name : "", a->command ? " " : "");
	return p;
}

static int
stop(struct arguments *a, int status)
{
	a->status = -status;
	return ARGUMENTS_STOP;
}

static int
unknown_option(struct arguments *a, const char *word)
{
	const char *names[CLI_OPTIONS_MAX] = { NULL }, *near = NULL, *ours;
	char name[64], meant[80], *equals;
	size_t count = 0;

	snprintf(name, sizeof(name), "%s", word);
	equals = strchr(name, '=');
	if (equals)
		*equals = '\0';
	ours = a->command ? NULL : habit(HABIT_OPTION, name); /* they are options of a run */
	if (ours)
		return stop(
		    a, fail(STATUS_USAGE, "%sunknown option %s; %s", prefix(a).text, word, ours));
	for (const struct cli_option *o = a->options; o->id && count < CLI_OPTIONS_MAX - 1; o++)
		if (o->name)
			names[count++] = o->name;
	if (strlen(name) > 3) /* also "-save": QEMU's long options have one dash */
		near = nearest(name + 1 + (name[1] == '-'), names);
	snprintf(meant, sizeof(meant), "--%s", near ? near : "");
	return stop(a, fail(STATUS_USAGE, "%sunknown option %s%s", prefix(a).text, word,
			    did_you_mean(near ? meant : NULL, see_help(a).text).text));
}

/*
 * The option of a word that begins with '-'. *value: the value in the same word ("--set=x", "-j4"),
 * or NULL.
 */
static const struct cli_option *
find_option(const struct arguments *a, const char *word, const char **value)
{
	const char *name = word + 2;
	size_t length = strcspn(name, "=");

	*value = NULL;
	for (const struct cli_option *o = a->options; o->id; o++) {
		if (word[1] == '-') {
			if (!o->name || strlen(o->name) != length || memcmp(o->name, name, length))
				continue;
			*value = name[length] ? name + length + 1 : NULL;
			return o;
		}
		if (o->id != word[1] || (*name && !o->value))
			continue;
		*value = *name ? name : NULL;
		return o;
	}
	return NULL;
}

/* Whether a word is the name of an option after one dash, as QEMU has it: "-check", "-json". */
static bool
has_one_dash(const struct arguments *a, const char *word)
{
	size_t length = strcspn(word, "=");

	for (const struct cli_option *o = a->options; o->id && word[1] != '-' && length > 2; o++)
		if (o->name && strlen(o->name) == length - 1 &&
		    !memcmp(o->name, word + 1, length - 1))
			return true;
	return false;
}

/* How an option is written, for messages: "--save", "-j". */
static struct prefix
written(const struct cli_option *o)
{
	struct prefix p;

	if (o->name)
		snprintf(p.text, sizeof(p.text), "--%s", o->name);
	else
		snprintf(p.text, sizeof(p.text), "-%c", o->id);
	return p;
}

static int
take_option(struct arguments *a, const char *word)
{
	const struct cli_option *o;
	uint64_t bit;

	/* -cpu is not -c with the value "pu", nor -check with "heck". */
	o = (word[1] != '-' && word[2] && habit(HABIT_OPTION, word)) || has_one_dash(a, word)
		? NULL
		: find_option(a, word, &a->value);
	if (!o)
		return unknown_option(a, word);
	if (o->id == 'h') {
		cli_help(a->command ? a->command->name : NULL);
		return stop(a, show_end(stdout));
	}
	if (!o->value && a->value)
		return stop(a, fail(STATUS_USAGE, "%s%s takes no value%s", prefix(a).text,
				    written(o).text, see_help(a).text));
	if (o->value && !a->value && a->next < a->argc)
		a->value = a->argv[a->next++];
	if (o->value && !a->value)
		return stop(a, fail(STATUS_USAGE, "%s%s needs a value%s", prefix(a).text, word,
				    see_help(a).text));
	if (o->value && strchr(o->value, ' ')) {
		a->second = a->next < a->argc ? a->argv[a->next++] : NULL;
		if (!a->second)
			return stop(a, fail(STATUS_USAGE, "%s%s %s needs two values, %s%s",
					    prefix(a).text, written(o).text, a->value, o->value,
					    see_help(a).text));
	}
	bit = 1ull << (o - a->options);
	if (!cli_repeats(o) && a->seen & bit)
		return stop(a, fail(STATUS_USAGE, "%s%s is given twice%s", prefix(a).text,
				    written(o).text, see_help(a).text));
	a->seen |= bit;
	if (a->value && cli_dash(o) && !strcmp(a->value, "-"))
		return stop(a, fail(STATUS_USAGE, "%s%s - does not mean stdout; %s", prefix(a).text,
				    written(o).text, cli_dash(o)));
	return o->id;
}

/* Checks the number of operands against the command's usage. */
static int
check_operands(struct arguments *a)
{
	const char *usage = a->command ? a->command->operands : "";
	char kind[64] = "";
	int index = 0;

	while (cli_operand(usage, index, kind, sizeof(kind)) && index < a->count &&
	       !strstr(kind, "..."))
		index++;
	if (index < a->count && !strstr(kind, "..."))
		return fail(STATUS_USAGE, "%sunexpected argument %s; use minivmm %s%s%s",
			    prefix(a).text, a->operands[index], a->command->name, *usage ? " " : "",
			    usage);
	if (index == a->count && *kind && *kind != '[')
		return fail(STATUS_USAGE, "%sno %.*s; use minivmm %s %s", prefix(a).text,
			    (int)strcspn(kind, "."), kind, a->command->name, usage);
	return 0;
}

int
arguments_next(struct arguments *a)
{
	const char *rest = a->command ? strstr(a->command->operands, " [ARGUMENT...]") : NULL;
	char kind[64];
	int r;

	while (a->next < a->argc) {
		char *word = a->argv[a->next++];

		if (!a->only_operands && *word == '-' && word[1]) {
			if (!strcmp(word, "--")) {
				a->only_operands = true;
				continue;
			}
			return take_option(a, word);
		}
		a->operands[a->count++] = word;
		if (rest && cli_operand(a->command->operands, a->count, kind, sizeof(kind)) &&
		    !strcmp(kind, "[ARGUMENT...]"))
			a->only_operands = true;
	}
	if (a->count < a->argc - 1)
		a->operands[a->count] = NULL;
	r = a->command ? check_operands(a) : 0;
	return r ? stop(a, r) : ARGUMENTS_END;
}

void
arguments_take_rest(struct arguments *a)
{
	a->only_operands = true;
}

int
arguments_only_operands(struct arguments *a)
{
	int r = arguments_next(a);

	return r > 0 ? ARGUMENTS_STOP : r;
}

int
arguments_timeout(const char *prefix, const char *text, uint64_t *timeout)
{
	struct why why;

	if (parse_time(text, timeout, &why))
		return fail(STATUS_USAGE, "%s--timeout %s %s", prefix, text, why.text);
	if (!*timeout)
		return fail(STATUS_USAGE, "%s--timeout needs a time above 0, not %s; leave it out",
			    prefix, text);
	return 0;
}
