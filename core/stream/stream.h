/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams: byte channels between a device and the host. One implementation for all devices:
 * terminals, files, ptys, sockets, bytes from the config. Bytes pass through a buffer each way; the
 * device's side never blocks.
 *
 * Output that a device has put into a stream counts as put out: it is not part of a snapshot, this
 * process delivers it (at the end it waits for a slow reader). A reader that stalls leaves the
 * device without room. A reader that is gone does not: what is put out then is dropped and counted.
 * Where another reader may come (pty, unix-listen, tcp-listen) the newest STREAM_OUTPUT_SIZE bytes
 * are kept for it.
 *
 * Input that was read from the host but not taken by the device is saved, and so is the position in
 * a file. A restored stream goes on there; one that was given another input starts with that.
 */
#ifndef STREAM_STREAM_H
#define STREAM_STREAM_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#include "base/record.h"
#include "base/socket.h"
#include "base/why.h"
#include "config/config.h"
#include "machine/loop.h"

#define STREAM_OUTPUT_SIZE 4096u /* bytes a stalled reader may owe */
#define STREAM_INPUT_SIZE 65536u /* bytes read ahead from a descriptor */

struct stream;

/* A copy of the output of one or more streams, of the first size bytes. bytes are the owner's. */
struct stream_record {
	pthread_mutex_t lock; /* guards length and more */
	uint8_t *bytes;
	size_t size, length;
	bool more; /* there was more output than fits */
};

/* What all streams of a machine share: the loop, who owns stdin and stdout, the terminal. */
struct stream_hub {
	struct loop *loop;
	const char *stdin_owner, *stdout_owner; /* "serial0"; NULL: free */
	volatile sig_atomic_t terminal_raw;     /* the terminal is ours to put back */
	struct termios terminal;                /* as it was */
	bool escape_pending;                    /* Ctrl-A was typed */
	void (*quit)(void *context);            /* Ctrl-A x */
	bool (*ended)(
	    void *context); /* the machine has: connections are not waited for. NULL: never */
	void *context;
};

/* A way to the host, a row of the table in stream_kinds.c: "stdio", "file", "pty", "unix", ... */
struct stream_kind;
/* The names of kinds, for help; NULL past the last. *form: of what follows the name and a colon,
 * "PATH"; NULL: nothing does. */
const char *stream_kind_name(size_t i, const char **form);

/* One direction's end on the host, or both directions'. The loop's thread's. */
struct stream_end {
	const struct stream_kind *kind; /* NULL: none */
	char *target;                   /* what follows "KIND:" in the option; NULL: nothing */
	struct stream *stream;
	int fd;                  /* -1: not open */
	int listen_fd;           /* tells when somebody comes; -1: nobody can */
	struct socket_file file; /* of the unix socket that listens */
	bool connected;          /* there is somebody at the other side of fd */
	bool own;                /* fd is not inherited: we close it, and it does not block */
	bool ready;              /* fd never keeps one waiting: a regular file */
	bool socket, terminal;
	bool ended;   /* fd has nothing more to read */
	bool stalled; /* the reader is slow: room is waited for */
	struct loop_source source, listen_source;
};

struct stream {
	struct stream_hub *hub;
	const char *device, *name;
	struct stream_end in, out;
	struct stream_end *reader; /* where input comes from: in, a two-way out, or NULL */
	void (*readable)(struct stream *stream); /* on the loop's thread, without the lock */
	void (*writable)(struct stream *stream);
	void *context;
	struct stream_record *record; /* gets a copy of the output; NULL: none */
	bool wait_input; /* the machine's first start is to wait for input: see below */
	struct loop_deferred deferred;

	pthread_mutex_t lock;               /* guards what is below; innermost but for the loop's */
	uint8_t output[STREAM_OUTPUT_SIZE]; /* ring */
	size_t output_head, output_length;
	bool nobody;      /* out is not connected, but somebody may come */
	bool failed;      /* output was lost to an error, which has been said */
	uint64_t dropped; /* bytes that nobody got */

	uint8_t *input; /* ring; or the content of hex: and text: */
	size_t input_size, input_head, input_length;
	uint64_t input_position;           /* in a regular file: of what the buffer will get next */
	bool input_seen;                   /* there has been a byte, or the end */
	bool input_full;                   /* the descriptor is not watched until there is room */
	bool want_readable, want_writable; /* the device found too little, and is to be called */
};

/*
 * Parses the two options and checks them; what is wrong is said with their places. Opens nothing.
 * Text: "" is none. input_text NULL: a two-way output is the input as well (for a device without
 * input, pass ""). Paths are taken as they are to be opened. device and name are borrowed. The
 * stream need not be zeroed. Returns 0 or a negative status; free in any case.
 */
int stream_init(struct stream *stream, struct stream_hub *hub, const char *device, const char *name,
		const char *output_text, struct config_place output_place, const char *input_text,
		struct config_place input_place);
/* True when the text names something of the host that --trust must allow: a file, a socket. */
bool stream_names_host(const char *text);
/* The path of the file that is this end of the stream, or NULL: it is none. */
const char *stream_file(const struct stream_end *end);
/*
 * Opens what the options name and joins the loop. restored: an output file is continued; a fresh
 * machine's begins empty. Says what failed, returns a negative status. Runs the loop while it waits
 * for a connection, and leaves it unconnected when the machine ends meanwhile.
 */
int stream_open(struct stream *stream, bool restored);
/* The device has started, and may be told of input that is there already: at once where it was
 * waited for. */
void stream_start(struct stream *stream);
/* Delivers what the reader takes without being waited for. */
void stream_flush(struct stream *stream);
/* Delivers what is left, waiting for the reader until *interrupted; then closes. */
void stream_close(struct stream *stream, const volatile bool *interrupted);
void stream_free(struct stream *stream);

/* The device's side. Any thread. */
size_t stream_readable(struct stream *stream);
size_t stream_read(struct stream *stream, void *to, size_t length);
size_t stream_writable(struct stream *stream);
size_t stream_write(struct stream *stream, const void *from, size_t length);

/* Copies all output to record from here on, also what nobody reads. Before the device starts. */
void stream_set_record(struct stream *stream, struct stream_record *record);

/* Of a stream without input: these bytes are its input from here on. The device is told by
 * stream_start. 0, or a negative status: no memory. */
int stream_feed(struct stream *stream, const void *bytes, size_t length);

/* Input that is not taken yet, and the position in a file. Load after init, before open. */
void stream_save(struct stream *stream, struct record_writer *writer);
int stream_load(struct stream *stream, const struct record *group, struct why *why);
/* Texts and regular files begin anew; what others send can't. */
void stream_rewind(struct stream *stream);
/* Forgets what the device has not taken. */
void stream_drop(struct stream *stream);

/*
 * True while a stream with wait_input has seen neither a byte nor the end of its input. Who starts
 * a fresh machine runs the loop, not quiet, until no stream says so.
 */
bool stream_awaits_input(struct stream *stream);

/* Puts the terminal back as it was; idempotent; async-signal-safe. */
void stream_terminal_restore(struct stream_hub *hub);

#endif
