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
 * Installs what tells of a crash: device, callback, offset; and puts the terminal back before it,
 * as before any death by a signal. Main thread, once. The pointers are used until crash_remove.
 */
struct stream_hub;
struct machine;
void crash_install(struct stream_hub *hub, const struct machine *machine, const char *memory_name);
void crash_remove(void);
/* For a signal handler: the process is to end. If a callback runs for two seconds more, says so and
 * dies of number. */
void crash_deadline(int number);
/* While true, work that is no callback has all the time it needs. */
void crash_patient(bool on);

#endif
