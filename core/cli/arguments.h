/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The only parser of command lines: walks the arguments of a command by its row in cli_commands[],
 * or those of a run. Options and operands can be in any order; "--" ends the options; a command
 * whose operands end in "[ARGUMENT...]" receives all words after its fixed operands unchanged.
 * Reports unknown and repeated options, missing values, and too few or too many operands.
 */
#ifndef CLI_ARGUMENTS_H
#define CLI_ARGUMENTS_H

#include <stdint.h>

#include "cli/commands.h"

/* Plain data. Strings belong to argv. */
struct arguments {
	const struct cli_command *command; /* NULL: a run */
	const struct cli_option *options;
	/* Of the option that arguments_next has returned. second: if its placeholder has two words.
	 */
	const char *value, *second;
	char **operands; /* those so far; complete at ARGUMENTS_END, then ends with NULL */
	int count;
	int status; /* after ARGUMENTS_STOP: the exit status */
	/* private */
	char **argv;
	int argc, next;
	bool only_operands;
	uint64_t seen; /* a bit for each row of options */
};

enum {
	ARGUMENTS_END = 0,   /* all is read */
	ARGUMENTS_STOP = -1, /* help is printed, or an error is reported: exit with status */
};

/* argv[0] is the name of the program or command. Rearranges argv. */
void arguments_begin(struct arguments *arguments, const struct cli_command *command, int argc,
		     char **argv);
/* Returns the id of the next option, ARGUMENTS_END or ARGUMENTS_STOP. */
int arguments_next(struct arguments *arguments);
/* All words that follow are operands, those that begin with '-' included. */
void arguments_take_rest(struct arguments *arguments);
/* For a command that has no options but --help: reads all. ARGUMENTS_END or ARGUMENTS_STOP. */
int arguments_only_operands(struct arguments *arguments);
/* Parses the value of --timeout, a time above 0, in ns. prefix of the message: "batch: ", or "".
 * Returns 0 or a negative status. */
int arguments_timeout(const char *prefix, const char *text, uint64_t *timeout);

#endif
