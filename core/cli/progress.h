/* SPDX-License-Identifier: BSD-2-Clause */
/* A line on stderr that shows progress, if stderr is a terminal. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_EVERY 200000000u /* ns between two lines */

/* Zeroed by the caller. */
struct progress {
	const char *what; /* is written; NULL: "snapshot" */
	unsigned shown;   /* columns of the line */
	uint64_t began,
	    done_then; /* clock_host() of the first progress, and the bytes done by then */
	uint64_t next; /* clock_host() of the next line; 0: PROGRESS_EVERY from now */
};

/*
 * Draws the line of text, or replaces it, as far as it fits. No function waits for the terminal:
 * false if there is none, or if it has no room.
 */
bool progress_line(struct progress *progress, const char *text);
/* The same for the progress of what is written, in bytes, unless the last line is too young. */
void progress_draw(struct progress *progress, uint64_t done, uint64_t total);
/* Removes the line. */
void progress_wipe(struct progress *progress);

#endif
