/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands and options of the command line with their help texts. One table serves --help, the
 * parser (cli/arguments.h), suggestions for misspelt words, and shell completion.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>

#define CLI_OPTIONS_MAX 32 /* rows of one table, its end included */

/* IDs of options without a letter. */
enum {
	CLI_SET = 256,
	CLI_TOOL,
	CLI_UNTIL,
	CLI_AT,
	CLI_SAVE,
	CLI_TRUST,
	CLI_REGISTERS,
	CLI_STATUS,
	CLI_CHECK,
	CLI_TRACE,
	CLI_LOG,
	CLI_VERSION,
	CLI_INPUT,
	CLI_TIMEOUT,
	CLI_JSON,
	CLI_USER,
	CLI_MDOC,
	CLI_GUEST,
	CLI_HEX,
	CLI_LINES,
	CLI_LIST,
	CLI_MAP,
	CLI_DUMP,
	CLI_WATCH,
	CLI_BRANCH,
	CLI_RESTORE_OR_START,
	CLI_SHARD,
	CLI_RESUME,
	CLI_FROM,
	CLI_PCI,
	CLI_SYMBOLS,
};

/* Plain data. A table ends with a row whose id is 0. */
struct cli_option {
	const char *name; /* NULL: only a letter */
	int id;           /* its letter, or a number of the enum */
	/* The placeholder of its value, which also selects the completion; NULL: no value. */
	const char *value;
	const char *help;
	const char *line; /* in minivmm --help; NULL: help; "": omitted there */
};

/* Plain data. */
struct cli_command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name; returns the exit status */
	/*
	 * The usage after the name, such as "SNAPSHOT... -o FILE": placeholders of the operands and
	 * the required options.
	 */
	const char *operands;
	const char *line;  /* a shorter usage for minivmm --help */
	const char *help;  /* in minivmm --help; NULL: omitted there */
	const char *about; /* in its own --help: lines, each with a newline */
	const struct cli_option *options;
};

extern const struct cli_command cli_commands[]; /* ends with a row without name */
extern const struct cli_option cli_run_options[];

const struct cli_command *cli_command(const char *name); /* NULL: unknown name */
/* Prints minivmm --help, or the help of the named command, to stdout. */
void cli_help(const char *name);
/* Returns whether the option can be given several times. */
bool cli_repeats(const struct cli_option *option);
/* If the option names an output that cannot be "-": an imperative, what to do instead. Else NULL.
 */
const char *cli_dash(const struct cli_option *option);
/*
 * Copies the operand with that index of a usage like "SNAPSHOT... -o FILE" into buffer. Options and
 * their values are not operands; an operand with "..." stands for all that follow. Returns false,
 * and an empty buffer, if there are fewer operands.
 */
bool cli_operand(const char *usage, int index, char *buffer, size_t size);

#endif
