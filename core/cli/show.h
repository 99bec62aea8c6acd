/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints records and JSON for people. Text from snapshot files is untrusted: what a terminal could
 * act on is escaped. */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <stdio.h>

#include "base/json_read.h"
#include "base/record.h"

/* The items of a group, a line for each scalar and array, groups and lists indented below their
 * names. */
void show_group(FILE *out, const struct record *group, unsigned indent);
void show_item(FILE *out, const struct record *item, unsigned indent);
/* One value, on one line, without its name. */
void show_value(FILE *out, const struct record *item);
/* Printable text; the rest as \xNN. */
void show_text(FILE *out, const void *text, size_t length);
/* JSON: a value on one line. */
void show_json(FILE *out, const struct json *value);
/* The members of an object, a line for each scalar, objects indented below their names, elements of
 * arrays on a line each. without: a member that is left out, or NULL. */
void show_json_members(FILE *out, const struct json *object, const char *without, unsigned indent,
		       bool hex);
/* Says so when stdout could not be written. 0 or a negative status. */
int show_end(FILE *out);

#endif
