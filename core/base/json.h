/* SPDX-License-Identifier: BSD-2-Clause */
/* Text as JSON. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <stddef.h>
#include <stdio.h>

/*
 * A JSON string with its quotes. UTF-8 stays; control characters, and bytes that are not UTF-8, as
 * \u00NN: nothing in it steers a terminal or ends a line.
 */
void json_text(FILE *out, const void *text, size_t length);

#endif
