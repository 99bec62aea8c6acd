/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sub-commands. Each takes its own arguments, argv[0] being its name, prints to stdout, says
 * errors itself and returns the exit status of the process.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

int cli_ctl(int argc, char **argv);     /* a command to a running machine, and its reply */
int cli_inspect(int argc, char **argv); /* what a snapshot holds; --json for programs */
int cli_batch(int argc, char **argv);   /* a machine run once for each of many inputs */
int cli_flatten(int argc, char **argv); /* one file of a chain of snapshots */
int cli_verify(int argc, char **argv);  /* every checksum of a snapshot, memory included */
int cli_diff(int argc, char **argv);    /* how two snapshots differ; 0 same, 1 differ, 2 trouble */
int cli_plugins(int argc, char **argv); /* the plugins found, or one's tables */
int cli_doctor(int argc, char **argv);  /* can this host run it */
int cli_new_plugin(int argc, char **argv); /* writes the source of a small plugin */
int cli_completion(int argc, char **argv); /* for shells: scripts, and what may come next */

/* What the options of a run say. Strings are argv's. */
struct run_options {
	const char *config, *restore; /* one of them */
	char **parents;               /* of restore: what -r gave before it, parent_count of them */
	size_t parent_count;
	char **set; /* KEY=VALUE, set_count of them */
	size_t set_count;
	const char *until, *at, *save;
	const char *status, *trace;
	bool trust, registers, check;
};

/* Builds the machine, runs it, ends it; returns the exit status, or dies of the signal that ended
 * it. */
int cli_run(const struct run_options *options);

/*
 * Installs handlers for crashes, which report device, callback and offset, and for signals that end
 * the process: both put the terminal back. Main thread, once. vm is used until crash_remove.
 */
struct vm;
void crash_install(const struct vm *vm);
void crash_remove(void);
/*
 * For a signal handler: the process is to end. If a callback still runs two seconds later, reports
 * it and dies of number. Work of vm that is marked as patient has all the time it needs.
 */
void crash_deadline(int number);

#endif
