/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sub-commands. Each takes its own arguments, argv[0] being its name, prints to stdout, says
 * errors itself and returns the exit status of the process.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

int cli_inspect(int argc, char **argv); /* what a snapshot holds; --json for programs */
int cli_verify(int argc, char **argv);  /* every checksum of a snapshot, memory included */
int cli_diff(int argc, char **argv);    /* how two snapshots differ; 0 same, 1 differ, 2 trouble */

#endif
