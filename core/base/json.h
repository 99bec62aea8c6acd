/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing JSON strings. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Writes a JSON string with its quotes. Characters that must not reach a terminal are escaped as
 * \uNNNN, see base/escape.h; a byte that is not UTF-8 as \u00NN.
 */
void json_text(FILE *out, const void *text, size_t length);
/* Copies JSON from another process, on one line, with the same characters escaped. */
void json_copy(FILE *out, const char *text);

/* Writes bytes as a string of two hexadecimal digits each. */
void json_bytes(FILE *out, const void *bytes, size_t length);

/*
 * Writes a number of 64 bits as a string in hexadecimal, "0x1f": JSON readers keep 53 bits of a
 * number. Use it for each key whose values can exceed 2^53, also for small values: times in ns,
 * addresses, registers, a guest's status. Counts and sizes stay numbers.
 */
void json_hex(FILE *out, uint64_t value);

/*
 * Writes value / unit with one digit behind the point, not rounded. printf(3) would write a comma
 * if a plugin has set such a locale.
 */
void json_decimal(FILE *out, uint64_t value, uint64_t unit);

#endif
