/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of the stream module: the table of kinds, and operations on an end. */
#ifndef STREAM_STREAM_KINDS_H
#define STREAM_STREAM_KINDS_H

#include <sys/types.h>

#include "stream/stream.h"

#define KIND_INPUT_ONLY 0x1u
#define KIND_TWO_WAY 0x2u
#define KIND_HOST 0x4u /* names a host resource that --trust must allow */
#define KIND_OUTPUT_ONLY 0x8u

struct stream_kind {
	const char *name;
	const char *form; /* of the target, for help: "PATH"; NULL: this kind has no target */
	uint32_t flags;   /* KIND_... */
	/* Checks the target's syntax. Returns 0, or -1 with a reason like "is not a number". */
	int (*check)(const char *target, struct why *why);
	/* hex and text: allocates the bytes; the caller frees them. Returns 0, or -1 with a reason.
	 */
	int (*decode)(const char *target, uint8_t **bytes, size_t *length, struct why *why);
	/* Sets fd or listen_fd, and the flags of the end. Returns 0 or a negative status, logged.
	 */
	int (*open)(struct stream_end *end, bool restored);
	/* Called if listen_fd is readable: connects the end, if a peer is there. NULL: no peer can
	 * connect later. */
	void (*accept)(struct stream_end *end);
	/* Called after the last write, before close(). If close() would discard unread output,
	 * waits for the peer until *interrupted. */
	void (*finish)(struct stream_end *end, const volatile bool *interrupted);
};

#define STREAM_BURST 25000u    /* ns: more than one exit and the delivery of a byte take */
#define STREAM_READ_SIZE 4096u /* maximum of one read from a descriptor, in bytes */

extern const struct stream_kind stream_kinds[]; /* the last one has no name */

/* Try once, without waiting. Return the number of bytes, or -1 with errno (EAGAIN: would block).
 * For a read 0 is the end. */
ssize_t stream_end_read(struct stream_end *end, void *to, size_t length);
ssize_t stream_end_write(struct stream_end *end, const void *from, size_t length);

/* The end has got its peer, a further one of those that can come later. */
void stream_end_connected(struct stream_end *end);

/* Closes an end, which may not be open. A kind that waits for a slow reader does until
 * *interrupted. */
void stream_end_close(struct stream_end *end, const volatile bool *interrupted);

/* The stream's deferred function: delivers output, then calls readable and writable as needed. */
void stream_run(struct loop_deferred *deferred);

/* Calls connected if the other end is not what the device knows. If the device is busy, defers
 * stream_run(). On the loop's thread. */
void stream_tell(struct stream *stream);

/*
 * Writes the output, which was empty before, to the host end on this thread, if any thread can.
 * Returns whether all is delivered; if not, the caller defers stream_run(). Any thread. Call with
 * the lock held; it is not held during the write.
 */
bool stream_deliver_now(struct stream *stream);

/* Fills the empty buffer from a regular file. False at its end, after an error (logged), and for
 * all other kinds. Call with the lock held. */
bool stream_refill(struct stream *stream);

/* Writes KIND:TARGET of an end, like "file:out.txt", to buffer and returns buffer. */
const char *stream_end_text(const struct stream_end *end, char *buffer, size_t size);

/* Sets the terminal on fd 0 to raw mode. In the background it stops the process first, and leaves
 * the mode to stream_terminal_continue. Returns 0 or a negative status, logged. */
int stream_terminal_raw(struct stream_hub *hub);
/* Restores the mode; the terminal is not used any more. Main thread. */
void stream_terminal_close(struct stream_hub *hub);
/* Removes Ctrl-A sequences from typed bytes, in place, and executes them. Returns the new length.
 */
size_t stream_terminal_filter(struct stream_hub *hub, uint8_t *bytes, size_t length);

static inline size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

#endif
