/* SPDX-License-Identifier: BSD-2-Clause */
/* The name that a mistyped one most likely meant. */
#include <string.h>

#include "config/config.h"

#define NAME_MAX_LENGTH 63u /* longer ones are nobody's mistyped key */

static size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Edit distance: characters added, left out, changed, or swapped with their neighbour (optimal
 * string alignment). Three rows of the table are enough.
 */
static size_t
distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t rows[3][NAME_MAX_LENGTH + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_length; j++)
		above[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t *last = before;

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			row[j] = least(least(above[j], row[j - 1]) + 1,
				       above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = least(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = last;
	}
	return above[b_length];
}

const char *
nearest(const char *text, const char *const *candidates)
{
	size_t length = strlen(text), best = length / 3 + 2; /* one edit more than is near */
	const char *found = NULL;

	if (length > NAME_MAX_LENGTH)
		return NULL;
	for (; *candidates; candidates++) {
		size_t candidate = strlen(*candidates), edits;

		if (candidate > NAME_MAX_LENGTH)
			continue;
		edits = distance(text, length, *candidates, candidate);
		if (edits < best && edits < candidate) {
			best = edits;
			found = *candidates;
		}
	}
	return found;
}
