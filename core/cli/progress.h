/* SPDX-License-Identifier: BSD-2-Clause */
/* A line on stderr that shows the progress of a snapshot, if stderr is a terminal. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#define PROGRESS_EVERY 200000000u /* ns between two lines */

/* Zeroed by the caller. */
struct progress {
	bool drawn;
	uint64_t began,
	    done_then; /* clock_host() of the first progress, and the bytes done by then */
	uint64_t next; /* clock_host() of the next line; 0: PROGRESS_EVERY from now */
};

/* Draws the line, or replaces it, unless the last one is too young. Neither function waits for the
 * terminal. */
void progress_draw(struct progress *progress, uint64_t done, uint64_t total);
/* Removes the line. */
void progress_wipe(struct progress *progress);

#endif
