/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of the command line: commands, options and their help. One table serves --help, getopt,
 * the suggestion for a misspelt word, and the completion of shells.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

/* The ids of options that have no letter. */
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
};

/* plain data. A table of options ends with a row whose id is 0. */
struct cli_option {
	const char *name; /* NULL: the option has a letter only */
	int id;           /* its letter, or a number of the enum */
	/* What help calls its value, which decides how shells complete it; NULL: it has none. */
	const char *value;
	const char *help;
	const char *line; /* in minivmm --help; NULL: the help; "": another option's line has it */
};

/* plain data */
struct cli_command {
	const char *name;
	int (*run)(int argc, char **argv); /* argv[0] is the name; returns the exit status */
	/* "SNAPSHOT... -o FILE", behind the name: its operands by what they are, as an option's
	 * value, and the options that it can't do without. */
	const char *operands;
	const char *line;  /* the same in minivmm --help, where there is less room */
	const char *help;  /* there; NULL: not there, being for shells */
	const char *about; /* in its own --help: lines, each with its newline */
	const struct cli_option *options;
};

extern const struct cli_command cli_commands[]; /* ended by one without name */
extern const struct cli_option cli_run_options[];

const struct cli_command *cli_command(const char *name); /* NULL: there is none */
/* Prints to stdout minivmm --help, or for a name that of the command. */
void cli_help(const char *name);
/* getopt_long of the table, in order of the words; says nothing, and returns ':' for a value that
 * is missing. */
int cli_getopt(int argc, char **argv, const struct cli_option *options);

#endif
