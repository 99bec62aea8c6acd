/* SPDX-License-Identifier: BSD-2-Clause */
/* Samples of a machine's status, and the rates between two: for stats and top. */
#ifndef CLI_CTL_SAMPLE_H
#define CLI_CTL_SAMPLE_H

#include <stdint.h>
#include <stdio.h>

#include "cli/ctl.h"

struct sample {
	char *line;       /* the reply */
	struct json root; /* points into line */
	uint64_t at;      /* clock_host() */
};

/* Shows what has changed between two samples. over: it replaces what a terminal shows. Returns 0 or
 * a negative status. */
typedef int sample_show(const struct sample *before, const struct sample *now, bool over);
/* Takes a sample, and after a second another one, and shows them; with watch, until Ctrl-C. Returns
 * the exit status. */
int sample_watch(struct ctl *ctl, bool watch, sample_show *show);

/* The increase per second; elapsed: ns. A decrease means that the machine was reset or replaced. */
double sample_rate(uint64_t before, uint64_t now, uint64_t elapsed);
/* The number of a member, or 0 if the object does not have it. */
uint64_t sample_count(const struct json *object, const struct json *name);
/* The element of a list that has this member name. at is NULL if it does not exist. */
struct json sample_named(const struct json *list, const struct json *name);
/* An object ('{') or an array of a sample. at is NULL if it does not exist. */
struct json sample_part(const struct sample *sample, const char *name, char open);
/* Writes a name, padded to 20 columns. */
void sample_name(FILE *out, const struct json *name);

#endif
