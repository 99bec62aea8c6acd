/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a snapshot goes: a file that appears under its name only when it is whole and on the disk,
 * or a descriptor (a pipe, a socket) that takes the file as a stream (format.h).
 */
#ifndef SNAPSHOT_OUTPUT_H
#define SNAPSHOT_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"

/* Why what is being written is to be left. */
enum output_cancel { OUTPUT_GOES_ON, OUTPUT_CANCELLED, OUTPUT_MACHINE_ENDED };

struct output {
	char *path;                   /* as given, for messages */
	struct file_replacement file; /* unless it is a stream */
	bool done;                    /* the file has its name, whatever commit answers */
	int fd;                       /* of the file, or the stream */
	bool stream;
	bool socket;    /* a stream's fd is one */
	int flags;      /* of a description that others share, to be put back; -1: none to */
	bool begun;     /* what a stream begins with is sent */
	uint64_t size;  /* of a stream's file, so far */
	uint64_t most;  /* that it may become */
	uint8_t *frame; /* a stream's, in the making */
	const atomic_int *cancelled; /* enum output_cancel, which may change; NULL: it goes on */
};

/* Each says what failed and returns 0 or a negative status; after one that failed, and in any case
 * at the end, comes close, which removes what was not committed. */
int output_open(struct output *output, const char *path);
/* The descriptor becomes ours. name is for messages. */
int output_open_fd(struct output *output, int fd, const char *name);
/* Writes at an offset; what is never written is zero. */
int output_write(struct output *output, const void *from, size_t length, uint64_t offset);
/* Before the first write: the file without its metadata. */
int output_resize(struct output *output, uint64_t size);
/* Zeros over what was written there; whole pages. */
int output_zero(struct output *output, size_t length, uint64_t offset);
/* To the disk, then under the final name, which is then on the disk too. */
int output_commit(struct output *output);
/* Is it to be left? For who writes much; a stream that nobody reads looks by itself. */
int output_left(const struct output *output);
void output_close(struct output *output);

#endif
