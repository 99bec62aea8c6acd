/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sub-commands. Each one parses its own arguments (argv[0] is its name), prints to stdout,
 * reports errors and returns the exit status of the process.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

int cli_ctl(int argc, char **argv);        /* sends a command to a running machine */
int cli_inspect(int argc, char **argv);    /* prints the contents of a snapshot */
int cli_list(int argc, char **argv);       /* prints the contents of a snapshot */
int cli_tree(int argc, char **argv);       /* prints the contents of a snapshot */
int cli_batch(int argc, char **argv);      /* runs a machine once per input */
int cli_flatten(int argc, char **argv);    /* merges a chain of snapshots */
int cli_core(int argc, char **argv);       /* writes a snapshot as a core file for debuggers */
int cli_verify(int argc, char **argv);     /* checks every checksum of a snapshot */
int cli_diff(int argc, char **argv);       /* compares snapshots; 0: same, 1: differ, 2: error */
int cli_plugins(int argc, char **argv);    /* lists plugins, or prints one's tables */
int cli_doctor(int argc, char **argv);     /* checks the host */
int cli_new_plugin(int argc, char **argv); /* writes the source of a small plugin */
int cli_completion(int argc, char **argv); /* shell scripts, and completion candidates */

/* The options of a run. The strings belong to argv. */
struct run_options {
	const char *config, *restore; /* exactly one is set */
	char **parents;               /* the earlier -r options, parent_count of them */
	size_t parent_count;
	char **set; /* KEY=VALUE, set_count of them */
	size_t set_count;
	char **tools; /* PLUGIN[:KEY=VALUE,...], tool_count of them */
	size_t tool_count;
	const char *until, *at, *save;
	uint64_t timeout; /* ns; 0: none */
	const char *status, *trace, *symbols;
	char **branch; /* the words of the command branch; NULL: the machine itself runs */
	bool trust, registers, check, restore_or_start, paused;
};

/*
 * Builds the machine, runs it and ends it. Returns the exit status, or dies of the signal that
 * ended the run.
 */
int cli_run(const struct run_options *options);

/*
 * Installs handlers for crashes, which report plugin, device and callback, and for signals that end
 * the process. Both kinds restore the terminal. Main thread, once, before a plugin is loaded. vm is
 * zeroed or built, and must exist until crash_remove; NULL: there is none.
 */
struct vm;
void crash_install(const struct vm *vm);
void crash_remove(void);
/*
 * Stores the path of the file that is mapped at an address of this process, truncated to size.
 * False: there is none. Async-signal-safe.
 */
bool mapped_file(uintptr_t address, char *path, size_t size);
/*
 * Called by a signal handler that ends the process. If a callback still runs two seconds later,
 * reports it and dies of signal number. While vm->patient is set, there is no time limit.
 */
void crash_deadline(int number);

#endif
