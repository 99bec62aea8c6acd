/* SPDX-License-Identifier: BSD-2-Clause */
/* The parser of command lines, for each command of the table: what it accepts and what it names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "cli/arguments.h"

#include <cmocka.h>

#include "said.h"

#define WORDS 12

/* Walks a command line; returns ARGUMENTS_END or ARGUMENTS_STOP. seen: the last option's id. */
static int
walk(struct arguments *a, const struct cli_command *command, int count, char **words, int *seen)
{
	char *argv[WORDS + 2] = { (char *)"./minivmm" };
	int option;

	memcpy(argv + 1, words, (size_t)count * sizeof(*words));
	arguments_begin(a, command, count + 1, argv);
	while ((option = arguments_next(a)) > 0)
		*seen = option;
	/* operands points into argv, which ends here: the tests only use the count. */
	return option;
}

static int
required(const struct cli_command *command)
{
	char kind[64] = "";
	int count = 0;

	while (command && cli_operand(command->operands, count, kind, sizeof(kind)) &&
	       *kind != '[' && !strstr(kind, "..."))
		count++;
	return count + (*kind && *kind != '[' && strstr(kind, "...") != NULL);
}

static void
each_unknown_option(const struct cli_command *command)
{
	static const char *const unknown[] = { "-kernel", "--foo",   "--foo=x", "-%",
					       "-smp",    "--jsonn", "-%x" };
	char *words[WORDS];
	struct arguments a;
	struct said said;
	int seen, count = required(command);

	/* Words behind ctl's command are the machine's. */
	for (int at = 0; at <= count && !(command && !strcmp(command->name, "ctl") && at == 2);
	     at++)
		for (size_t u = 0; u < sizeof(unknown) / sizeof(*unknown); u++) {
			char expected[64];
			const char *text;

			for (int i = 0; i <= count; i++)
				words[i] = (char *)(i == at ? unknown[u] : "word");
			said_begin(&said);
			assert_int_equal(walk(&a, command, count + 1, words, &seen),
					 ARGUMENTS_STOP);
			text = said_end(&said);
			assert_int_equal(a.status, STATUS_USAGE);
			snprintf(expected, sizeof(expected), "unknown option %s;", unknown[u]);
			if (!strstr(text, expected))
				fail_msg("%s, %s: %s", command ? command->name : "run", unknown[u],
					 text);
			assert_null(strstr(text, "./minivmm"));
		}
}

static void
an_unknown_option_is_named(void **state)
{
	each_unknown_option(NULL);
	for (const struct cli_command *c = cli_commands; c->name; c++)
		each_unknown_option(c);
}

/* Each option of each table, in each form in which it can be written. */
static void
each_option(const struct cli_command *command, const struct cli_option *options)
{
	static char first[] = "1", second[] = "2";
	struct arguments a;

	for (const struct cli_option *o = options; o->id; o++) {
		char name[64], joined[80], letter[8];
		char *forms[][3] = { { name, o->value ? first : NULL, second },
				     { joined, NULL, second },
				     { letter, o->value ? first : NULL, second } };

		if (o->id == 'h')
			continue;
		snprintf(name, sizeof(name), "--%s", o->name ? o->name : "");
		snprintf(joined, sizeof(joined), "%s%s", name, o->value ? "=1" : "");
		snprintf(letter, sizeof(letter), "-%c", o->id < 256 ? o->id : '-');
		for (int f = 0; f < 3; f++) {
			char *words[3];
			int count = 0, seen = 0;
			bool two = o->value && strchr(o->value, ' ');

			if (f < 2 ? !o->name : o->id >= 256)
				continue;
			words[count++] = forms[f][0];
			if (forms[f][1])
				words[count++] = forms[f][1];
			if (two)
				words[count++] = forms[f][2];
			a.value = a.second = NULL;
			arguments_begin(&a, command, count + 1,
					(char *[]){ name, words[0], words[1], words[2], NULL });
			seen = arguments_next(&a);
			assert_int_equal(seen, o->id);
			assert_true(!o->value || !strcmp(a.value, "1"));
			assert_true(!two || !strcmp(a.second, "2"));
		}
	}
}

static void
each_option_is_recognised(void **state)
{
	each_option(NULL, cli_run_options);
	for (const struct cli_command *c = cli_commands; c->name; c++)
		each_option(c, c->options);
}

static void
operands_are_counted(void **state)
{
	char *words[WORDS];
	struct arguments a;
	struct said said;
	int seen;

	for (int i = 0; i < WORDS; i++)
		words[i] = (char *)"word";
	for (const struct cli_command *c = cli_commands; c->name; c++) {
		int least = required(c);
		bool more = strstr(c->operands, "...") != NULL;

		assert_int_equal(walk(&a, c, least, words, &seen), ARGUMENTS_END);
		assert_int_equal(a.count, least);
		if (least) {
			said_begin(&said);
			assert_int_equal(walk(&a, c, least - 1, words, &seen), ARGUMENTS_STOP);
			assert_non_null(strstr(said_end(&said), "; use minivmm "));
		}
		said_begin(&said);
		assert_int_equal(walk(&a, c, WORDS, words, &seen),
				 more ? ARGUMENTS_END : ARGUMENTS_STOP);
		assert_true(!strstr(said_end(&said), "unexpected argument word") == more);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_unknown_option_is_named),
		cmocka_unit_test(each_option_is_recognised),
		cmocka_unit_test(operands_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
