/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing JSON strings. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stddef.h>
#include <stdio.h>

/*
 * Writes a JSON string with its quotes. Keeps valid UTF-8; escapes control characters and invalid
 * bytes as \u00NN, so that the output cannot control a terminal or end a line.
 */
void json_text(FILE *out, const void *text, size_t length);

#endif
