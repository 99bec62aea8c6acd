/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands: words that become function calls. A table lists them; a carrier (the control socket, a
 * debugger) brings the words and takes the reply: the members of a JSON object.
 *
 * All functions: main thread. None of them waits.
 */
#ifndef VM_COMMAND_H
#define VM_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

/* A command under way, embedded in what its carrier keeps of it. The carrier fills the
 * members. */
struct command {
	FILE *reply; /* for members, each with a comma before it: ,"name":value. Not to be closed */
	int fd;      /* a descriptor that came with it; -1: none, or taken */
	bool gone;   /* nobody will read the reply */
	/* Set by a command that ends later, or NULL: called when gone becomes true. It may end the
	 * command. */
	void (*left)(struct command *command);
	void *context; /* of left */
	/* Called once: the command has ended, with an error or (NULL) without. Frees the command.
	 */
	void (*end)(struct command *command, const char *error);
};

/* A row of a table, which ends with a name that is NULL. "help" is built in. */
struct command_row {
	const char *name;
	const char *usage;    /* of the whole line: "snapshot FILE" */
	const char *help;     /* a sentence */
	unsigned least, most; /* arguments */
	bool any_time;        /* it may run while another command waits for the machine */
	/*
	 * argv[0] is the name, argv[argc] NULL; they live as long as the command. The function ends
	 * the command once, by command_done or command_fail: before it returns, or later.
	 */
	void (*run)(void *context, struct command *command, int argc, char **argv);
	/* Asked while another command waits for the machine: may it run now? It can also end the
	 * other's wait. NULL: any_time answers. Can be asked repeatedly. */
	bool (*urgent)(void *context);
};

/* Finds the row for argv[0], checks the number of arguments and runs it. argc is at least 1. */
void command_run(const struct command_row *table, void *context, struct command *command, int argc,
		 char **argv);
/* Whether the command of a name may run while another one waits for the machine. */
bool command_may_run_now(const struct command_row *table, void *context, const char *name);
/* Ends the command: its reply is complete. */
void command_done(struct command *command);
/* Ends the command with an error; the members in its reply are dropped. */
__attribute__((format(printf, 2, 3))) void command_fail(struct command *command, const char *format,
							...);
/* The descriptor that came with the command, now the caller's; -1: none. */
int command_take_fd(struct command *command);

#endif
