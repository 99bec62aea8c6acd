/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A complete VM: the machine and the devices of a config or of a snapshot. It runs, stops at stop
 * points, takes snapshots, resets, and has a table of commands. A command line, a socket or a tool
 * uses it; it does not know which. All functions: main thread.
 */
#ifndef VM_VM_H
#define VM_VM_H

#include "base/lock_file.h"
#include "base/why.h"
#include "config/config.h"
#include "device/device.h"
#include "machine/machine.h"
#include "pci/complex.h"
#include "snapshot/capture.h"
#include "snapshot/reset.h"
#include "vm/branch.h"
#include "vm/command.h"
#include "vm/tools.h"

/* Where a VM comes from: one of config, restore, received and branch. Filled by the caller; strings
 * are borrowed. */
struct vm_source {
	const char *config;  /* path of an INI file */
	const char *restore; /* path of a snapshot, "-" or "fd:N" */
	/* An open snapshot, which the VM closes: for one VM in each process. NULL: none. */
	const struct snapshot *received;
	char **parents; /* paths of snapshots that it may differ from */
	size_t parent_count;
	char **set; /* KEY=VALUE */
	size_t set_count;
	char **tools; /* PLUGIN[:KEY=VALUE,...] */
	size_t tool_count;
	uint64_t timeout;            /* ns of the VM's clock for each run; 0: no limit */
	const struct branch *branch; /* a branch is built in its own process; else NULL */
	const char *trace, *status;  /* other files that the run writes; NULL: none */
	bool trust; /* host files and sockets that a snapshot names may be opened */
	bool held;  /* it does not run: streams to the host are not connected */
	/* Restore from [snapshot] file instead, if it exists, with the parents and restore as
	 * parents; with config: [snapshot], [control] and [plugins] of the config direct that run.
	 */
	bool continues;
	bool again; /* for many runs and resets: streams are not connected */
	bool check; /* a check only: no KVM, nothing is opened, no state is loaded */
};

/* The stop condition of the run itself, from the command line or [snapshot]. Filled by the caller;
 * strings are borrowed. */
struct vm_stop {
	const char *text; /* as the user gave it; NULL: none */
	/* The file for a snapshot there, or "fd:N"; NULL: none. Without text: at the timeout. */
	const char *save;
	bool ends; /* the machine ends there */
	/* Called now and then while the snapshot is written, with the bytes of memory; true cancels
	 * it. After the snapshot, and while devices capture, total is 0. NULL: none. */
	bool (*poll)(void *context, uint64_t done, uint64_t total);
	void *context;
	bool hit;
	int error; /* of the snapshot; the machine ran on. 0 or a negative status */
};

struct vm {
	struct vm_source source;
	struct config config;
	struct config own;      /* of a run that continues: what directs it was read from there */
	char **parents;         /* of a run that continues; borrowed strings */
	struct lock_file saved; /* locks [snapshot] file if SIGTERM saves, or the run continues */
	int saved_status;       /* SIGTERM has saved the machine: STATUS_AGAIN, or an error */
	struct snapshot snapshot;
	struct machine machine;
	struct devices devices;
	struct pci_complex pci;
	struct capture capture;
	struct reset reset; /* made when first needed */
	struct vm_stop stop;
	struct loop_timer timeout; /* of source.timeout */
	struct command *until;     /* waits for the stop condition until_text; NULL: none */
	const char *until_text;    /* the command's */
	struct command *capturing; /* waits for the snapshot under way; NULL: none */
	struct core_writing *core; /* the command core that is under way; NULL: none */
	uint64_t dirty_polled;     /* clock_host of the last poll of dirty pages; 0: none */
	struct branches branches;
	struct vm_tools tools;
	bool can_capture;      /* capture is there */
	bool built;            /* machine and devices are there, as far as they could be made */
	volatile bool patient; /* work is under way that may take long. A signal handler reads it */
};

/*
 * Reads, builds, boots or loads. After a mistake in a config's text the rest of the config is still
 * checked. Returns 0 or a negative status; destroy in any case. A VM is large: not for the stack.
 */
int vm_build(struct vm *vm, const struct vm_source *source);
void vm_destroy(struct vm *vm);

/* Whether it continues a machine that was saved. */
static inline bool
vm_restored(const struct vm *vm)
{
	return vm->source.restore || vm->source.received || vm->source.branch;
}

/* Starts the devices. 0 or a negative status; vm_stop in any case. */
int vm_start(struct vm *vm);
/*
 * Runs until the machine ends (vm->machine.end) or the time is up, then ends the commands that
 * still wait. 0 or a negative status. A machine that was restored with its end runs no further.
 */
int vm_run(struct vm *vm);
/* Stops the devices; waits for slow readers of their output until *interrupted. 0 or -STATUS_IO. */
int vm_stop(struct vm *vm, const volatile bool *interrupted);
/* From now on, resets are checked: see reset_remember. After vm_build. 0 or a negative status. */
int vm_reset_remember(struct vm *vm);
/* The first difference that the check of the last reset has found; NULL: none. */
const char *vm_reset_difference(const struct vm *vm);
/*
 * Resets the machine to the snapshot that it was restored from, or a branch to its beginning, and
 * resumes it if nothing pauses it. No snapshot is under way. 0, or a negative status, with which
 * the machine ends, unless the failure came before anything has changed: of a pause, or a lack of
 * memory.
 */
int vm_reset(struct vm *vm);
/*
 * Sets the machine's stop condition from its text ("hlt", "output:serial0:login:"). Returns 0, or
 * -1 with the reason in why: the text is no condition, or this machine cannot meet it.
 */
int vm_stop_set(struct vm *vm, const char *text, const struct stop_handler *handler,
		struct why *why);
/*
 * Takes over the run's own stop condition: the machine stops there, writes the snapshot, and ends
 * or runs on. where: "--until", or a place in the config, for messages. 0 or a negative status.
 */
int vm_stop_plan(struct vm *vm, const struct vm_stop *stop, const char *where);
/* Writes the snapshot of a stop without a condition: the timeout has ended the machine. */
void vm_stop_timeout(struct vm *vm);
/* Whether [snapshot] on_term says that SIGTERM saves the machine. */
static inline bool
vm_saves_on_term(const struct vm *vm)
{
	return vm->config.snapshot.on_term == ON_TERM_SAVE;
}
/* SIGTERM has come: writes the snapshot of [snapshot] on_term, sets saved_status, and ends the
 * machine. From the outer loop. */
void vm_save_on_term(struct vm *vm);
/* For vm_build: takes the lock of [snapshot] file, and finds it. *found: it exists, and source is
 * changed so that it is restored. 0 or a negative status. */
int vm_find_saved(struct vm *vm, bool *found);
/* The same lock for a run that does not continue. */
int vm_lock_saved(struct vm *vm);
/* For vm_build: snapshots will replace the file that the machine was restored from, if they do. */
void vm_replaces_saved(struct vm *vm);
/* Warns that the VM's clock is past the stop condition that is set, text (NULL: none). After
 * vm_start. */
void vm_stop_warn_past(const struct vm *vm, const char *text);
/* Warns that the machine has ended before its stop condition. */
void vm_stop_warn_missed(const struct vm *vm);

/* Reports a file of the run that one option would destroy for another. 0 or a negative status. */
int vm_files_check(const struct vm *vm);
/* The option or device that uses the file which a snapshot at path would replace; NULL: none. */
const char *vm_files_user(const struct vm *vm, const char *path);

/* The commands that drive a VM while it runs; their context is a struct vm. */
extern const struct command_row vm_commands[];

/* Undoes what the start has done to files, see made_file.h. For a signal handler that ends the
 * process; no effect once the machine has run. */
void vm_undo_start(const struct vm *vm);
/* Restores the terminal's modes of before the run. For a signal handler, too. */
void vm_restore_terminal(const struct vm *vm);
/* After SIGCONT: sets the terminal's modes of the run, if a device reads it. Main thread. */
void vm_continue_terminal(struct vm *vm);

/* The number N of "fd:N"; -1: the text is something else. */
int vm_descriptor(const char *text, int *fd);

#endif
