/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The destination of a snapshot: a file that gets its name only when it is complete and on the
 * disk, or a descriptor (pipe, socket) to which the file goes as a stream (format.h).
 */
#ifndef SNAPSHOT_OUTPUT_H
#define SNAPSHOT_OUTPUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"

/* The reason for a cancellation. */
enum output_cancel { OUTPUT_NOT_CANCELLED, OUTPUT_CANCELLED, OUTPUT_MACHINE_ENDED };

struct output {
	char *path;                   /* as given, for messages */
	struct file_replacement file; /* unless it is a stream */
	bool done;                    /* the file has its name, even if output_commit failed */
	int fd;                       /* of the file, or the stream */
	bool stream;
	bool open_file;              /* the file is the caller's */
	bool socket;                 /* the stream is a socket */
	int flags;                   /* file status flags to restore on close; -1: none */
	bool stream_started;         /* magic and first frame are sent */
	uint64_t size;               /* stream: bytes of the file so far */
	uint64_t size_max;           /* stream: limit of size, sent in the first frame */
	uint8_t *frame;              /* stream: buffer for a frame */
	const atomic_int *cancelled; /* enum output_cancel, set by any thread; NULL: never */
	bool (*poll)(void *context); /* true cancels, too; NULL: none */
	void *context;
};

/* All functions that return int return 0 or a negative status, reported. Call output_close in any
 * case: it removes what was not committed. */
int output_open(struct output *output, const char *path);
/* Refuses a path that output_open would refuse: a link, a file that is not a snapshot, a missing
 * folder. */
int output_check(const char *path);
/* The output owns fd from here on, even if this fails. name is for messages. */
int output_open_fd(struct output *output, int fd, const char *name);
/* The output is an open file, empty and regular, which stays the caller's: a commit does nothing,
 * and an error leaves bytes in it. name is for messages. */
int output_open_file(struct output *output, int fd, const char *name);
/* Writes at an offset. Bytes that are never written are zero. */
int output_write(struct output *output, const void *from, size_t length, uint64_t offset);
/* Sets the size of the file without its metadata. Call it before the first write. */
int output_resize(struct output *output, uint64_t size);
/* Replaces whole pages that were written by zeros. */
int output_zero(struct output *output, size_t length, uint64_t offset);
/* Syncs the file, gives it its final name and syncs the folder. */
int output_commit(struct output *output);
/* Fails if the snapshot is cancelled. Call it between long writes; a wait for the reader of a
 * stream calls it too. Calls poll. */
int output_check_cancel(const struct output *output);
/* Removes a file that is not complete. Freeing a large one takes long: not on the main thread. */
void output_discard(struct output *output);
void output_close(struct output *output);

#endif
