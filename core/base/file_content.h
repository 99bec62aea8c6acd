/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a file contains that an output would overwrite. Any thread.
 */
#ifndef BASE_FILE_CONTENT_H
#define BASE_FILE_CONTENT_H

#include <stdbool.h>
#include <sys/stat.h>

#include "base/place.h"

/*
 * Returns what is in the file that st describes if an output that has its name by mistake would
 * destroy it, or NULL: "a snapshot of minivmm" (magic.h); with text, which says that the output
 * is text, also "a binary file". An empty or unreadable file has no content. Keeps errno.
 */
const char *file_content(const struct place *place, const struct stat *st, bool text);
/* Returns whether the file begins with these at most 16 bytes, or is empty or unreadable. Keeps
 * errno. */
bool file_content_begins(const struct place *place, const struct stat *st, const char *bytes);

#endif
