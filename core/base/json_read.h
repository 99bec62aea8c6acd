/* SPDX-License-Identifier: BSD-2-Clause */
/* Parser of JSON that reads values in place. */
#ifndef BASE_JSON_READ_H
#define BASE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define JSON_DEPTH 32 /* nesting levels */

/* A value in a text that json_open has accepted; borrowed. */
struct json {
	const char *at, *end;
};

/*
 * Checks that the text is one JSON value (RFC 8259). Returns 0, or -1 with a reason like "is not
 * valid JSON".
 */
int json_open(const char *text, size_t length, struct json *root, struct why *why);

/*
 * Steps through an object or array. Start with *position = NULL. Returns false at the end, and for
 * any other value. name receives the member's name as a string with quotes, or an empty string in
 * an array; it may be NULL.
 */
bool json_next(const struct json *parent, const char **position, struct json *name,
	       struct json *value);
/* Finds a member by its ASCII name. */
bool json_find(const struct json *object, const char *name, struct json *value);
/* Finds a member that is an integer from 0 to 2^64 - 1: a number, or a string that json_hex() has
 * written. */
bool json_find_u64(const struct json *object, const char *name, uint64_t *number);
bool json_is_u64(const struct json *value, uint64_t *number);
bool json_is_true(const struct json *value);
/*
 * Returns the text of a string as UTF-8, malloced and NUL-terminated. NULL: not a string, or no
 * memory.
 */
char *json_string(const struct json *value, size_t *length);

#endif
