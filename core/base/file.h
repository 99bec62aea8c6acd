/* SPDX-License-Identifier: BSD-2-Clause */
/* Files that the command line names for us to write. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdio.h>

/*
 * The descriptor that a path like /dev/stdout, /dev/fd/3 or /proc/self/fd/3 stands for; -1: it is
 * the path of a file. Opening such a path would open what is behind the descriptor anew, at its
 * beginning.
 */
int open_descriptor(const char *path);

/* Opens to write: a file is emptied; of a descriptor a copy is used, as it stands. NULL: errno. */
FILE *open_to_write(const char *path);

#endif
