/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the stream module share: the kinds, and what can be done to an end. */
#ifndef STREAM_STREAM_KINDS_H
#define STREAM_STREAM_KINDS_H

#include <sys/types.h>

#include "stream/stream.h"

#define KIND_INPUT_ONLY 0x1u
#define KIND_TWO_WAY 0x2u
#define KIND_HOST 0x4u /* names something that --trust must allow */
#define KIND_OUTPUT_ONLY 0x8u

struct stream_kind {
	const char *name;
	const char *form; /* of the target, for people: "PATH"; NULL: there is none */
	uint32_t flags;
	/* Whether the target can be one. 0, or -1 with a reason like "is not a number". */
	int (*check)(const char *target, struct why *why);
	/* hex and text: the bytes, malloced. 0, or -1 with a reason. */
	int (*decode)(const char *target, uint8_t **bytes, size_t *length, struct why *why);
	/* Sets fd, or listen_fd, and the flags beside them. Says what failed. */
	int (*open)(struct stream_end *end, bool restored);
	/* listen_fd spoke: connects the end, or does nothing. NULL: nobody comes later. */
	void (*accept)(struct stream_end *end);
	/* All is written; waits until the other side has it, where closing would take it away. */
	void (*finish)(struct stream_end *end, const volatile bool *interrupted);
};

#define STREAM_READ_SIZE 4096u /* bytes at a time */

extern const struct stream_kind stream_kinds[]; /* ended by one without name */

/* One try, without waiting: bytes moved, or -1 with errno (EAGAIN). read: 0 is the end. */
ssize_t stream_end_read(struct stream_end *end, void *to, size_t length);
ssize_t stream_end_write(struct stream_end *end, const void *from, size_t length);

/* Delivers output, then tells the device what it waits for: the stream's deferred work. */
void stream_run(struct loop_deferred *deferred);

/* More input, of what never keeps one waiting. With the lock held, and the buffer empty. */
bool stream_refill(struct stream *stream);

/* "input" or "output": the option that made the end, for messages. */
const char *stream_end_option(const struct stream_end *end);
/* "file:out.txt" of an end, in buffer. */
const char *stream_end_text(const struct stream_end *end, char *buffer, size_t size);

/* Raw mode for the terminal on fd 0; says what failed. */
int stream_terminal_raw(struct stream_hub *hub);
/* Takes escapes out of what was typed, in place, and acts on them. Returns the new length. */
size_t stream_terminal_filter(struct stream_hub *hub, uint8_t *bytes, size_t length);

static inline size_t
least(size_t a, size_t b)
{
	return a < b ? a : b;
}

#endif
