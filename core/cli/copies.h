/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm -r SNAPSHOT --branch: new machines from one snapshot. */
#ifndef CLI_COPIES_H
#define CLI_COPIES_H

struct vm;

/*
 * Branches a machine that has started and has not run, and ends it. words: of the command branch,
 * ending with NULL. Prints the command's reply to stdout. 0 when all new machines run; or a
 * negative status, reported, and there is none. Main thread.
 */
int copies_make(struct vm *vm, char **words);

#endif
