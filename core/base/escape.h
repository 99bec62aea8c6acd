/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text from outside on its way to a terminal, a message or JSON: from guests, files, sockets,
 * plugins, and names of files. One policy for all of them: valid UTF-8 is kept, except characters
 * that control a terminal, end a line, change the order of what is shown, or are invisible, so that
 * two names look the same. Those, and bytes that are not UTF-8, are escaped.
 */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct character {
	size_t length; /* bytes, at least 1 */
	uint32_t code; /* its Unicode code point; of a byte that is not UTF-8, the byte */
	bool safe;     /* can be shown unchanged */
};

/* The first character of a text of left bytes, at least 1. Async-signal-safe. */
struct character character_at(const void *text, size_t left);
/* True if all of a string can be shown unchanged. */
bool text_is_safe(const char *text);
/* True if a shell takes it as one word, as it is shown: a name to type in a remedy. */
bool text_is_word(const char *text);

/*
 * Copies text; unsafe bytes become \n, \r, \t or \xNN. Ends with NUL and never in the middle of a
 * character: what does not fit is left out. Returns the length of the copy. Any thread,
 * async-signal-safe.
 */
size_t escape_text(char *to, size_t size, const void *text, size_t length);

#endif
