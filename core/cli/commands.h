/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The commands and options of the command line with their help texts. One table serves --help,
 * getopt, suggestions for misspelt words, and shell completion.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

/* IDs of options without a letter. */
enum {
	CLI_SET = 256,
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
	CLI_MDOC,
	CLI_GUEST,
	CLI_HEX,
	CLI_LINES,
	CLI_LIST,
	CLI_MAP,
	CLI_DUMP,
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
/*
 * getopt_long with the table, without reordering arguments. Prints nothing. Returns ':' if a value
 * is missing.
 */
int cli_getopt(int argc, char **argv, const struct cli_option *options);
/*
 * The option for which cli_getopt() has just returned '?': "-k" in letter, or a word of argv. A
 * letter may be followed by others in its word, and optind counts only whole words.
 */
const char *cli_unknown_option(char **argv, char letter[3]);

#endif
