/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that appears under its name only when it is whole and on the disk. */
#ifndef SNAPSHOT_OUTPUT_H
#define SNAPSHOT_OUTPUT_H

#include <stddef.h>
#include <stdint.h>

struct output {
	const char *path; /* as given, for messages */
	char *target;     /* where it really goes: path without symbolic links */
	char *folder, *temporary;
	int fd;
};

/* Each says what failed and returns 0 or a negative status; after one that failed, and in any case
 * at the end, comes close, which removes what was not committed. */
int output_open(struct output *output, const char *path);
/* Writes at an offset; what is never written is zero. */
int output_write(struct output *output, const void *from, size_t length, uint64_t offset);
int output_resize(struct output *output, uint64_t size);
/* To the disk, then under the final name, which is then on the disk too. */
int output_commit(struct output *output);
void output_close(struct output *output);

#endif
