/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tools of a VM: see minivmm/tool.h. Their requests are carried out on the outer loop, where
 * the machine may be paused. All functions: main thread.
 */
#ifndef VM_TOOLS_H
#define VM_TOOLS_H

#include "base/why.h"
#include "device/tool.h"
#include "vm/command.h"

struct vm;

/* A command that a tool has requested. */
struct tool_command {
	struct command command; /* first: its end finds the rest */
	struct vm_tool *tool;
	uint64_t id;
	char **words; /* ends with NULL; in one block */
	int count;
	char *reply; /* of command.reply */
	size_t length;
	char *error; /* NULL: none */
	bool begun, ended;
	struct tool_command *next;
};

/* What a tool wants of the machine. */
enum tool_wish { TOOL_RUN, TOOL_STEP, TOOL_HOLD };

struct vm_tool {
	struct devices devices; /* first: a tool's calls are found by it */
	struct vm *vm;
	struct config config; /* its only device is the tool */
	enum tool_wish wish;
	uint32_t step_vcpu;
	bool holds;   /* it has a count of PAUSE_TOOL */
	bool tell;    /* an event is due: STOPPED, or NOT_STOPPED */
	bool replace; /* the event REPLACED is due */
	bool created, started;
	struct tool_command *commands; /* linked list, oldest first */
	struct vm_tool *next;
};

struct vm_tools {
	struct vm_tool *first; /* linked list, in the order of creation */
	struct loop_source work;
	uint64_t last_command; /* ids are never used again */
	uint32_t next_vcpu;    /* the search for a breakpoint to report begins there */
	bool can_run;          /* the machine has started: so does a tool that is added */
};

/* Creates the tools of the config and of the command line. 0 or a negative status; call tools_free
 * in both cases. */
int tools_create(struct vm *vm);
/* Starts them: after the devices. 0 or a negative status. */
int tools_start(struct vm *vm);
/* Tells them that the machine has ended, and stops them. */
void tools_stop(struct vm *vm);
void tools_free(struct vm *vm);
/* Tells them that a reset has replaced the machine's state. */
void tools_replaced(struct vm *vm);
/* The first tool whose threads run during a pause; NULL: none. */
const char *tools_unparked(const struct vm *vm);
/* Makes the loop call tools_work() soon. */
void tools_wake(struct vm *vm);

/*
 * Adds a tool that is given as "PLUGIN[:KEY=VALUE,...]", where ",," is a comma in a value. Its name
 * is the plugin's, with a number if there are several. Returns it; or NULL, logged.
 */
struct vm_tool *vm_tool_add(struct vm *vm, const char *text);
const char *vm_tool_name(const struct vm_tool *tool);

/* The functions of struct minivmm_machine. */
extern const struct minivmm_machine tool_functions;

/* A row of vm_commands: lists, adds and removes tools. */
void command_tool(void *context, struct command *command, int argc, char **argv);

#endif
