/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads JSON where it lies. */
#ifndef BASE_JSON_READ_H
#define BASE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

#define JSON_DEPTH 32 /* objects and arrays inside each other, at most */

/* A value in a text that json_open has found good: borrowed. */
struct json {
	const char *at, *end;
};

/* Checks that the text is one value (RFC 8259), blanks around it apart. 0, or -1 with a reason like
 * "is no JSON". */
int json_open(const char *text, size_t length, struct json *root, struct why *why);

/*
 * Steps through an object or array: start with *position = NULL; false at the end, and for any
 * other value. name: of the member, as a string with its quotes; empty in an array. May be NULL.
 */
bool json_next(const struct json *parent, const char **position, struct json *name,
	       struct json *value);
/* A member by its name, in plain ASCII. */
bool json_find(const struct json *object, const char *name, struct json *value);
/* A member that is an integer from 0 to 2^64 - 1. */
bool json_find_u64(const struct json *object, const char *name, uint64_t *number);
bool json_is_u64(const struct json *value, uint64_t *number);
bool json_is_true(const struct json *value);
/* The text of a string, in UTF-8, malloced and terminated; NULL: no string, or no memory. */
char *json_string(const struct json *value, size_t *length);

#endif
