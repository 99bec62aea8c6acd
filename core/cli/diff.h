/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of minivmm diff: how differences are printed, which are left out, and the memory. */
#ifndef CLI_DIFF_H
#define CLI_DIFF_H

#include <stdio.h>

#include "snapshot/reader.h"

struct diff {
	FILE *out;
	bool json, hex, guest;
	uint64_t lines;   /* --hex: prints at most that many lines of bytes; 0: all */
	const char *what; /* the section that is compared: "vcpu 0", "device serial0" */
	const char *kind; /* the key of its row: "vcpu" */
	bool any;         /* there was a difference */
	bool more;        /* JSON: an element has been printed, the next one needs a comma */
};

/* Both print the frame of the JSON document; nothing for text. */
void diff_begin(struct diff *diff, const struct snapshot *a, const struct snapshot *b);
void diff_end(struct diff *diff);
/* Prints a difference of diff->what: an item that one side lacks is NULL. */
void diff_item(void *context, const char *path, const struct record *a, const struct record *b);
/* Prints that only one of the snapshots has a section. */
void diff_only(struct diff *diff, const char *what, bool first);

/*
 * With --guest: why the item differs between two snapshots of the same state of a guest; NULL: it
 * tells about the guest. kind: the key of a section's row.
 */
const char *diff_ignores(const char *kind, const char *path);

/* Prints the memory that differs. 0 or a negative status, reported. */
int diff_memory(struct diff *diff, const struct snapshot *a, const struct snapshot *b);

#endif
