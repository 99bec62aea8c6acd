/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints records and JSON for people. Text from snapshots is untrusted: characters that control a
 * terminal are escaped.
 */
#ifndef CLI_SHOW_H
#define CLI_SHOW_H

#include <stdbool.h>
#include <stdio.h>

#include "base/json_read.h"
#include "base/record.h"

/*
 * Prints the items of a group: a line for each scalar and array; groups and lists are indented
 * below their names.
 */
void show_group(FILE *out, const struct record *group, unsigned indent);
void show_item(FILE *out, const struct record *item, unsigned indent);
/* Prints a value on one line, without its name. */
void show_value(FILE *out, const struct record *item);
/* Prints text from outside; see base/escape.h. A backslash is \x5c, so that \xNN is an escape. */
void show_text(FILE *out, const void *text, size_t length);
/* The same for a string, padded to width columns; NULL is "". */
void show_string(FILE *out, const char *text, unsigned width);
/* Prints a JSON value on one line. */
void show_json(FILE *out, const struct json *value);
/*
 * Prints the members of an object: a line for each scalar; objects are indented below their names;
 * array elements have a line each. without: a member to skip, or NULL. hex: numbers are
 * hexadecimal.
 */
void show_json_members(FILE *out, const struct json *object, const char *without, unsigned indent,
		       bool hex);
/* From here, the stream stdout waits for room even if it is nonblocking; see file_stream(). */
void show_begin(void);
/*
 * Writes text to stdout or stderr with one write(2), or several if it has no room: text of other
 * processes that have the same file or pipe does not come between. 0 or a negative status, reported
 * for stdout.
 */
int show_whole(int fd, const char *text, size_t length);
/* Whether stdout is a terminal that understands control sequences: not for TERM=dumb, or without
 * TERM. */
bool show_can_move(void);
/* Reports an error of writing to stdout. 0 or a negative status. */
int show_end(FILE *out);

#endif
