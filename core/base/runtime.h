/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory of the user's machines, $XDG_RUNTIME_DIR/minivmm, or /run/minivmm for root. A
 * machine with a name has its control socket there: the name is that of the file.
 */
#ifndef BASE_RUNTIME_H
#define BASE_RUNTIME_H

#include <stddef.h>

#include "base/why.h"

/* Stores the path of the directory. 0, or -1 with the reason in why, also if it belongs to another
 * user or others can write there. */
int runtime_folder(char *path, size_t size, struct why *why);
/* Stores the path of the socket of a machine with this name. 0, or -1 with the reason in why: the
 * name cannot be that of a file, or there is no directory. */
int runtime_socket(const char *name, char *path, size_t size, struct why *why);
/* Creates the directory with mode 0700 unless it exists. 0, or -1 with the reason in why. */
int runtime_create(struct why *why);

#endif
