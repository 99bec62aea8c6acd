/* SPDX-License-Identifier: BSD-2-Clause */
/* A branch command under way. Private to core/vm. */
#ifndef VM_BRANCHING_H
#define VM_BRANCHING_H

#include "machine/kept.h"
#include "snapshot/writer.h"
#include "vm/vm.h"

/* One of the new machines. */
struct branch {
	struct branching *all;
	char *socket; /* malloced */
	char **set;   /* malloced, as its texts */
	size_t set_count;
	pid_t process; /* 0: not known yet */
};

struct branching {
	struct vm *vm;
	struct command *command;
	struct branch *list; /* malloced */
	uint32_t count, ready;
	bool paused;
	pid_t parent;
	pid_t keeper;              /* 0: not made yet */
	struct kept_memory kept;   /* in the processes of the branches: by the keeper */
	char name[64];             /* for messages */
	char why[1024];            /* why it fails; "": it does not */
	struct snapshot_meta meta; /* the state */
	const int *files;          /* of the devices of the new machines, borrowed */
	size_t file_count;
	uint64_t stop_began, stop_ended;
	struct loop_source source;
	int reports, go;             /* the machine's ends of the pipes, or a new process's; -1 */
	int child_reports, child_go; /* the ends of the new processes; -1 */
};

#define BRANCH_DIED "a process of a branch has died; see its messages"

/* From a new process to the machine. Shorter than PIPE_BUF: each write(2) is whole. */
struct branch_report {
	uint32_t index;
	int32_t status; /* 0 or a negative status */
	pid_t process;
	char text[1024];
};

/* In the process that the stop has made: becomes the keeper. */
__attribute__((noreturn)) void branching_begin(struct branching *branching);

/* Creates one that has no branches yet, on behalf of a command (NULL: none). NULL: no memory. */
struct branching *branching_create(struct vm *vm, struct command *command);
/* Adds a branch with the path of its socket; adds --set to the last branch. 0, or -1: no memory. */
int branching_add(struct branching *branching, const char *socket);
int branching_add_set(struct branching *branching, const char *text);
/* Stops the machine and makes the keeper. 0 or a negative status, reported. branching_end in
 * any case. */
int branching_fork(struct branching *branching);
/* The same for a command, which then waits for the processes and ends. 0, or a negative status,
 * reported: it is freed, and the command has not ended. */
int branching_start(struct branching *branching);
/* Processes that wait to run end. Frees it. */
void branching_end(struct branching *branching);
/* Called by the loop. */
void branching_reported(struct loop_source *source, uint32_t events);

#endif
