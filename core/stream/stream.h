/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams: byte channels between a device and the host (terminals, files, ptys, sockets, bytes from
 * the config). All devices use this implementation. Each direction has a buffer; the device's side
 * never blocks. The loop's thread moves bytes between the buffers and the host. To spare output the
 * wake-up of that thread, the thread that writes a byte also delivers it, if no other output waits
 * or came just before, and the host end cannot block or go away.
 *
 * A snapshot does not contain output: the process that took the bytes from the device delivers them
 * (at its end it waits for a slow reader). While a reader stalls, the buffer fills and the device
 * gets no more room. After a reader is gone, output is dropped and counted. If another reader can
 * connect (pty, unix-listen, tcp-listen), the newest STREAM_OUTPUT_SIZE bytes are kept for it; of
 * more, it gets whole lines.
 *
 * A snapshot contains the input that was read from the host but not by the device, and the position
 * in a file. A restored stream continues there. If its input option has changed, it starts with the
 * new input.
 */
#ifndef STREAM_STREAM_H
#define STREAM_STREAM_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <termios.h>

#include "base/made_file.h"
#include "base/record.h"
#include "base/socket.h"
#include "base/why.h"
#include "config/config.h"
#include "machine/loop.h"

#define STREAM_OUTPUT_SIZE 4096u /* bytes of output that wait for the reader */
#define STREAM_INPUT_SIZE 65536u /* bytes read ahead from a descriptor */

struct stream;

/* A copy of the first size bytes of the output of one or more streams. The owner of the record
 * allocates and frees bytes. */
struct stream_record {
	pthread_mutex_t lock; /* guards length and more */
	uint8_t *bytes;
	size_t size, length;
	bool more; /* output beyond size was not copied */
};

/* Shared by all streams of a machine: the loop, the owners of stdin and stdout, the terminal. */
struct stream_hub {
	struct loop *loop;
	struct made_files *made; /* the list for files that an open creates; NULL: none */
	const char *stdin_owner, *stdout_owner; /* device names like "serial0"; NULL: unused */
	volatile sig_atomic_t terminal_raw;     /* the process that has set raw mode; 0: none */
	int terminal_lock;                      /* locked while it is raw; 0: not open */
	bool terminal_used;                     /* a device reads it */
	bool terminal_known;                    /* the next member is set */
	struct termios terminal;                /* its mode before raw mode, to restore */
	bool escape_pending;                    /* the last byte was Ctrl-A */
	bool always;                  /* the streams work while the machine is paused, too */
	void (*quit)(void *context);  /* called for Ctrl-A x */
	bool (*ended)(void *context); /* true ends the wait for a connection; NULL: never true */
	/* Called for bytes that a device has written. Any thread. */
	void (*written)(void *context, const char *device, const void *bytes, size_t length);
	void *context; /* argument of quit, ended and written */
};

/* A kind of host end, a row of the table in stream_kinds.c: "stdio", "file", "pty", "unix", ... */
struct stream_kind;
/* Returns the name of kind i, NULL past the last. *form is the form of its target, like "PATH", or
 * NULL for a kind without target. */
const char *stream_kind_name(size_t i, const char **form);

/* An option that names a host end. */
struct stream_option {
	const char *name, *text; /* text: "" or NULL: none */
	struct config_place place;
};

/* The host end of one direction or of both. Only the loop's thread changes it. */
struct stream_end {
	const struct stream_kind *kind; /* NULL: none */
	char *target;                   /* text after "KIND:" in the option; NULL: no target */
	const char *option;             /* its name, for messages */
	struct stream *stream;
	int fd;                  /* -1: not open */
	int listen_fd;           /* readable when a peer connects; -1: no peer can connect later */
	struct socket_file file; /* of the listening unix socket */
	bool connected;          /* fd has a peer */
	bool own;                /* fd was opened here: it does not block, and we close it */
	bool ready;              /* fd is always ready: a regular file or a device like /dev/null */
	bool socket, terminal;   /* the type of fd */
	bool ended;              /* a read found the end of fd, or an error */
	bool passed;             /* fd is from stream_connect() */
	bool stalled;            /* fd has no room: wait for EPOLLOUT */
	struct loop_source source, listen_source;
};

struct stream {
	struct stream_hub *hub;
	const char *device;
	struct stream_end in, out;
	struct stream_end *reader; /* source of the input: in, a two-way out, or NULL */
	/* Called on the loop's thread, lock not held. false: the device is busy; call it again. */
	bool (*readable)(struct stream *stream);
	bool (*writable)(struct stream *stream); /* like readable */
	/* The other end has come or gone, see struct minivmm_stream; like readable. NULL: nobody
	 * wants to know. */
	bool (*connected)(struct stream *stream, bool connected);
	void *context;                /* of readable, writable and connected */
	struct stream_record *record; /* gets a copy of the output; NULL: none */
	bool wait_input; /* the first start waits for input: see stream_awaits_input() */
	struct loop_deferred deferred;
	/* What the device knows of the other end. Only the loop's thread uses both. */
	enum { STREAM_UNTOLD, STREAM_TOLD_GONE, STREAM_TOLD_CONNECTED } told;
	bool replaced; /* it is to learn that one has gone before it learns of the next */
	bool direct;   /* any thread can write to out; set by stream_open */
	atomic_uint_least64_t written; /* clock_host() at the end of the last write, if direct */

	pthread_mutex_t lock; /* guards the members below; innermost, except for the loop's */
	uint8_t output[STREAM_OUTPUT_SIZE]; /* ring */
	size_t output_head, output_length;
	bool delivering;  /* a thread writes output to out: it alone moves the head */
	bool no_reader;   /* out is not connected, but a reader can connect later */
	bool cut;         /* the output that waits for that reader begins within a line */
	bool failed;      /* an error ended the output; it has been reported */
	uint64_t dropped; /* bytes of output that were not delivered */

	uint8_t *input; /* ring, or the bytes of hex: and text: */
	size_t input_size, input_head, input_length;
	uint64_t input_position;           /* offset of the next read in a regular file */
	bool input_seen;                   /* input or its end has arrived */
	bool input_full;                   /* the buffer is full: the descriptor is not watched */
	bool want_readable, want_writable; /* a call of readable, writable is due */
	bool tell_when_read; /* a call of connected is due when the device has read all input */
	int refills; /* how often a call of readable may still refill the input from a file that is
			always ready; -1: no call is under way, and there is no limit */
};

/* What the stream belongs to, for messages. */
static inline const char *
stream_owner(const struct stream *stream)
{
	return stream->hub->always ? "tool" : "device";
}

/*
 * Parses and checks the two options; opens nothing. Logs errors with the options' places. If the
 * text of input is NULL, a two-way output is also the input; pass "" for a device without input.
 * Paths are used unchanged: resolve relative ones first. device and the names are borrowed. The
 * stream need not be zeroed. Returns 0 or a negative status; call stream_free() in both cases.
 */
int stream_init(struct stream *stream, struct stream_hub *hub, const char *device,
		const struct stream_option *output, const struct stream_option *input);
/* True if the text names a host resource that --trust must allow: a file or a socket. */
bool stream_names_host(const char *text);
/* Whether two machines can have this input at the same time: its bytes, or a file. */
bool stream_is_private(const char *text);
/* The path of a "file:" end, or NULL for another kind. The end owns it. */
const char *stream_file(const struct stream_end *end);
/*
 * Opens both ends and adds them to the loop. A restored stream appends to its output file;
 * otherwise the file is truncated. Runs the loop while it waits for a connection; if the machine
 * ends meanwhile, returns 0 with the end not connected. Returns 0 or a negative status after
 * logging the error.
 */
int stream_open(struct stream *stream, bool restored);
/* Call after start of the device. From here on the stream calls readable, with wait_input before
 * this function returns. */
void stream_start(struct stream *stream);
/*
 * Takes over a connected socket, which socket_check_passed() has accepted, as the client of a
 * stream that has none: its output is none, or a socket that listens. The client can shut down its
 * half, and reads until it hangs up. 0, or -1 with the reason in why. On the loop's thread.
 */
int stream_connect(struct stream *stream, int fd, struct why *why);
/* A reader has connected to the output. */
void stream_reader_connected(struct stream *stream);
/* Delivers output until the reader has no room. Does not wait. */
void stream_flush(struct stream *stream);
/* Delivers the rest of the output, waits for a slow reader until *interrupted, and closes. */
void stream_close(struct stream *stream, const volatile bool *interrupted);
void stream_free(struct stream *stream);

/* The device's side. Any thread; never blocks. readable and writable return a number of bytes; read
 * and write return the number of bytes copied. A short read, or no byte to read, asks for a call of
 * readable, a short write for a call of writable. */
size_t stream_readable(struct stream *stream);
size_t stream_read(struct stream *stream, void *to, size_t length);
size_t stream_writable(struct stream *stream);
size_t stream_write(struct stream *stream, const void *from, size_t length);

/* Copies all further output to record, dropped bytes too. Call before the device starts. record is
 * borrowed. */
void stream_set_record(struct stream *stream, struct stream_record *record);

/* Sets a copy of bytes as the input of a stream without input. stream_start() notifies the device.
 * Returns 0 or a negative status (no memory), logged. */
int stream_feed(struct stream *stream, const void *bytes, size_t length);

/* Save and load the input that the device has not read, and the position in a file. Load before
 * stream_open() or at a reset. Load returns 0, or -1 with the reason in why. */
void stream_save(struct stream *stream, struct record_writer *writer);
/* At least as many bytes as stream_save appends. Any thread. */
size_t stream_state_size(const struct stream *stream);
int stream_load(struct stream *stream, const struct record *group, struct why *why);
/* Restarts the input of hex:, text: and regular files. Other kinds cannot repeat theirs. */
void stream_rewind(struct stream *stream);
/* Discards the input that the device has not read. */
void stream_drop(struct stream *stream);

/* True while a stream with wait_input has seen neither a byte nor the end of its input. Before the
 * first start of a machine, run the loop, not quiet, until this is false for all streams. */
bool stream_awaits_input(struct stream *stream);

/* After SIGCONT: makes the terminal raw again, or stops the process if it is in the background.
 * Main thread. */
void stream_terminal_continue(struct stream_hub *hub);
/* Restores the terminal's mode, unless this process is in the background. Idempotent and
 * async-signal-safe. */
void stream_terminal_restore(struct stream_hub *hub);

#endif
