/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Branches: copies of a running machine. The machine stops once. In the stop, it saves its state,
 * as for a snapshot, and forks. The child shares its memory copy-on-write and has one thread. It is
 * the keeper: it closes what it has inherited, forks once for each branch, and then only waits. Its
 * memory stays as it was in the stop, for resets of the branches. Each branch builds a new VM from
 * the state and the memory, as a restore does. Nothing is written to a file.
 *
 *     machine            keeper              branches
 *     pause, save
 *     fork ------------> close descriptors
 *     resume             fork -------------> build, start, listen
 *     all ready? <-------------------------- report
 *     go ----------------------------------> run
 *                        wait for their end  reset: read the old pages of the keeper
 *
 * If one of them fails, the machine ends all of them.
 */
#ifndef VM_BRANCH_H
#define VM_BRANCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "machine/collapse.h"

struct branch;
struct capture;
struct config;
struct devices;
struct kept_memory;
struct machine;
struct snapshot;
struct vm;

/* In struct vm. */
struct branches {
	/*
	 * Of vm_set_branch. In a new process: builds the VM of a branch, calls branch_ready, runs
	 * it, and returns the exit status. Nothing but memory is left of the machine whose context
	 * it is. NULL: the machine cannot be branched.
	 */
	int (*run)(void *context, const struct branch *branch);
	void *context;
	struct branching *under_way; /* NULL: none */
	int failed;                  /* see branches_failed */
	pid_t *children;             /* keepers that have not been reaped */
	size_t count;
	struct collapse collapse; /* of the memory that the children have shared */
};

/* A process of a branch asks these. */

/* --set of this branch, as in struct vm_source. */
char **branch_set(const struct branch *branch, size_t *count);
/* The path of its control socket. */
const char *branch_socket(const struct branch *branch);
/* The process of the machine that it is a copy of. */
pid_t branch_parent(const struct branch *branch);
/* Whether it begins paused. */
bool branch_paused(const struct branch *branch);
/* Opens the saved state. 0 or a negative status, reported. */
int branch_open(const struct branch *branch, struct snapshot *snapshot);
/* The machine that it is a copy of, and its devices. */
const struct machine *branch_machine(const struct branch *branch);
const struct devices *branch_devices(const struct branch *branch);
/* The memory of its beginning, in the keeper. */
const struct kept_memory *branch_beginning(const struct branch *branch);
/* The config of the machine that it is a copy of: what a snapshot leaves to the user who restores
 * it, a branch takes from there. */
const struct config *branch_config(const struct branch *branch);
/* The snapshots of the machine that it is a copy of. */
const struct capture *branch_capture(const struct branch *branch);
/* The devices have started, and have opened the files that were kept for them. */
void branch_started(const struct branch *branch);
/*
 * Tells the parent that the branch is ready to run (r is 0) or has failed, and in the first case
 * waits for the others. Only the first call has an effect. 0, or a negative status: it must not
 * run.
 */
int branch_ready(const struct branch *branch, int r);

/* Sets what runs a branch; without it, the machine cannot be branched. After vm_build. */
void vm_set_branch(struct vm *vm, int (*run)(void *context, const struct branch *branch),
		   void *context);
/* Ends a branch command that is under way. At the end of the machine. */
void branches_end(struct vm *vm);
/*
 * The status of the last branch command, which has failed with the text error. Prints the text
 * unless that is done: by this process, or by that of a branch.
 */
int branches_failed(const struct vm *vm, const char *error);
/* Reaps the processes that have ended. After SIGCHLD. */
void branches_reap(struct vm *vm);

#endif
