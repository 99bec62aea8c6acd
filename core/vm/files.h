/* SPDX-License-Identifier: BSD-2-Clause */
/* The files of a run: that none is written that another one is, or that the machine lives on. */
#ifndef VM_FILES_H
#define VM_FILES_H

#include "cli/cli.h"
#include "vm/vm.h"

/* save: where a snapshot will go, or NULL. Says which two options name one file. 0 or a negative
 * status. */
int files_check(const struct vm *vm, const struct run_options *options, const char *save);
/* The option or device of this run that uses the file which a snapshot at path would replace; NULL:
 * none does. */
const char *files_taken(const struct vm *vm, const struct run_options *options, const char *path);

#endif
