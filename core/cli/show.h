/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints records for people. Text from snapshot files is untrusted: what a terminal could act on is
 * escaped. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <stdio.h>

#include "base/record.h"

/* The items of a group, a line for each scalar and array, groups and lists indented below their
 * names. */
void show_group(FILE *out, const struct record *group, unsigned indent);
void show_item(FILE *out, const struct record *item, unsigned indent);
/* One value, on one line, without its name. */
void show_value(FILE *out, const struct record *item);
/* Printable text; the rest as \xNN. */
void show_text(FILE *out, const void *text, size_t length);
/* Says so when stdout could not be written. 0 or a negative status. */
int show_end(FILE *out);

#endif
