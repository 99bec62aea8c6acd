/* SPDX-License-Identifier: BSD-2-Clause */
/* Parsing and formatting of numbers, sizes, durations and names. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

/* Each returns 0, or -1 with a reason that is to follow the text, like "is not a number". */
int parse_u64(const char *text, uint64_t *value, struct why *why);  /* decimal or 0x */
int parse_size(const char *text, uint64_t *value, struct why *why); /* with K, M, G, T */
int parse_duration(const char *text, uint64_t *value,
		   struct why *why); /* ns, us, ms, s; no unit: ns */
/* A duration from a command line, which must have a unit unless it is 0. */
int parse_time(const char *text, uint64_t *value, struct why *why);
int parse_bool(const char *text, bool *value, struct why *why); /* yes, on, true, 1; no, ... */
/* Parses hex bytes like "ba f8 03", with blanks anywhere, into malloced memory. */
int parse_hex(const char *text, uint8_t **bytes, size_t *length, struct why *why);

/*
 * Format a number in the largest unit that leaves no fraction; parse_size() and parse_duration()
 * read it back. Return buffer, which needs 32 bytes.
 */
const char *format_size(uint64_t value, char *buffer, size_t size);     /* "16M", "4097" */
const char *format_bytes(uint64_t value, char *buffer, size_t size);    /* "16M", "4097 bytes" */
const char *format_duration(uint64_t value, char *buffer, size_t size); /* "10us" */

/* Writes lead and then "a, b or c". names ends with NULL. Returns buffer. */
const char *format_names(const char *lead, const char *const *names, char *buffer, size_t size);

/*
 * Like vsnprintf(3), but a text that does not fit loses its middle, for " ... ": a message about a
 * long name keeps its beginning, and at its end the cause and the remedy. Returns the length of the
 * text in buffer. Any thread; a text that does not fit needs memory for a moment, without which it
 * loses its end.
 */
size_t text_vfit(char *buffer, size_t size, const char *format, va_list arguments);
__attribute__((format(printf, 3, 4))) size_t text_fit(char *buffer, size_t size, const char *format,
						      ...);

/*
 * Returns the candidate that is most similar to a mistyped text, or NULL if none is similar.
 * candidates ends with NULL.
 */
const char *nearest(const char *text, const char *const *candidates);

/*
 * Returns "; did you mean NEAR?" for the end of a message about an unknown name, or otherwise if
 * near is NULL. Use it in the argument list: fail(..., "no key %s%s", key, did_you_mean(near,
 * "").text).
 */
struct hint {
	char text[320];
};
struct hint did_you_mean(const char *near, const char *otherwise);

#endif
