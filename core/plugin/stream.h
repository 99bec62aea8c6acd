/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams: byte channels between a device and the host. One implementation for all devices:
 * terminals, files, ptys, sockets, bytes from the config. Bytes pass through a buffer each way; the
 * device's side never blocks.
 *
 * Output that a device has put into a stream counts as put out: it is not part of a snapshot, this
 * process delivers it (at the end it waits for a slow reader). Input that was read from the host
 * but not taken by the device is.
 */
#ifndef PLUGIN_STREAM_H
#define PLUGIN_STREAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#include "base/record.h"
#include "config/config.h"
#include "machine/loop.h"

#define STREAM_OUTPUT_SIZE 4096u /* bytes a stalled reader may owe */
#define STREAM_INPUT_SIZE 4096u  /* bytes read ahead from a descriptor */

/* What all streams of a machine share: the loop, who owns stdin and stdout, the terminal. */
struct stream_hub {
	struct loop *loop;
	const char *stdin_owner, *stdout_owner; /* "serial0"; NULL: free */
	bool terminal_raw;
	struct termios terminal;     /* as it was */
	void (*quit)(void *context); /* Ctrl-A x */
	void (*output)(void *context, const char *device, const uint8_t *bytes,
		       size_t length); /* sees all output */
	void *context;
	struct stream *escape; /* reads stdin raw; NULL: nobody */
	bool escape_pending;   /* Ctrl-A was typed */
};

/* Opening and the rest are of a kind: "stdio", "file", "pty", "unix", ... Each is a row of a table
 * in stream.c. */
struct stream_kind;

/* One way to the host. */
struct stream_end {
	const struct stream_kind *kind; /* NULL: none */
	char *target;                   /* what follows the kind in the option */
	int fd, listen_fd;
	struct loop_source source, listen_source;
	struct stream *stream;
	bool stalled, closed;
};

struct stream {
	struct stream_hub *hub;
	const char *device, *name;
	pthread_mutex_t lock; /* guards the buffers; innermost but for the loop's */
	struct stream_end in,
	    out; /* in.kind NULL and shared: the input comes from out's descriptor */
	bool shared;
	uint8_t output[STREAM_OUTPUT_SIZE];
	size_t output_head, output_length;
	uint8_t *input; /* ring for descriptors; the whole content for hex: and text: */
	size_t input_size, input_head, input_length;
	uint64_t input_position; /* bytes of file: that are in or behind the buffer */
	bool input_end;          /* nothing more comes */
	bool want_readable,
	    want_writable; /* the device found too few or no room, and is to be called */
	void (*readable)(struct stream *stream);
	void (*writable)(struct stream *stream);
	void *context;
	struct loop_deferred deferred; /* runs the calls that are wanted, on the loop's thread */
	uint64_t dropped;              /* bytes for which there was nobody */
};

/*
 * Parses the two options and checks them ("what is wrong" is said with their places); opens
 * nothing. output_text and input_text may be NULL. trusted: host files and sockets may be named.
 * Returns 0 or a negative status.
 */
int stream_init(struct stream *stream, struct stream_hub *hub, const char *device, const char *name,
		const char *output_text, struct config_place output_place, const char *input_text,
		struct config_place input_place);
/* True when the text names something of the host that --trust must allow: a file, a socket. */
bool stream_names_host(const char *text);
/* Opens what the options name and joins the loop. restored: input that was saved is not read again.
 */
int stream_open(struct stream *stream, bool restored);
/* Delivers what is left, waiting for the reader until *interrupted; then closes. */
void stream_close(struct stream *stream, volatile bool *interrupted);
void stream_free(struct stream *stream);

/* The device's side. Any thread. */
size_t stream_readable(struct stream *stream);
size_t stream_read(struct stream *stream, void *to, size_t length);
size_t stream_writable(struct stream *stream);
size_t stream_write(struct stream *stream, const void *from, size_t length);

/* Input that is not taken yet, and the position in a file. Load after init, before open. */
void stream_save(struct stream *stream, struct record_writer *writer);
int stream_load(struct stream *stream, const struct record *group, char *why, size_t why_size);

/* Waits until the stream has a byte or its end, for wait_input. 0, or -1: interrupted. */
int stream_wait_input(struct stream *stream);

/* Puts the terminal back as it was; idempotent; async-signal-safe. */
void stream_terminal_restore(struct stream_hub *hub);

#endif
