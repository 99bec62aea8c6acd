/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of gdb's remote protocol ("Overview" in the appendix "GDB Remote Serial Protocol" of
 * gdb's manual): "$CONTENTS#SUM", of which the contents are escaped by "}". Plain data: nothing
 * here knows a machine or a stream. Every function keeps to the sizes of the two buffers.
 */
#ifndef PLUGINS_GDB_PACKET_H
#define PLUGINS_GDB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 0x10000u /* bytes of contents, in both directions */
#define PACKET_SPARE 1024u  /* for acknowledgements and a stop reply behind a reply */

/* What a byte from the client has completed. */
enum packet_event {
	PACKET_NOTHING,
	PACKET_COMPLETE,
	PACKET_DAMAGED,   /* its checksum is wrong */
	PACKET_LONG,      /* complete, but longer than PACKET_MAX: its end is lost */
	PACKET_INTERRUPT, /* Ctrl-C */
	PACKET_REPEAT,    /* "-": the last packet is wanted again */
};

/* Zero it for a new client. */
struct packet_input {
	enum packet_place { PACKET_BETWEEN, PACKET_CONTENTS, PACKET_SUM_HIGH, PACKET_SUM_LOW } at;
	uint8_t sum, high; /* of the contents; the first digit of the client's sum */
	bool escaped, too_long;
	size_t length;                 /* of the contents */
	uint8_t bytes[PACKET_MAX + 1]; /* contents without escapes; after COMPLETE a NUL follows */
};

enum packet_event packet_take(struct packet_input *in, uint8_t byte);

/* Bytes for the client. Zero it for a new client. */
struct packet_output {
	size_t length, sent; /* of bytes */
	size_t last;         /* where the last packet begins; it stays until the next one */
	bool overflow;       /* of the packet that is being written */
	uint8_t bytes[PACKET_MAX + PACKET_SPARE];
};

/* Forgets what has been sent. */
void packet_clear(struct packet_output *out);
/* Sends the last packet once more. */
void packet_repeat(struct packet_output *out);
/* Adds a byte outside of packets: an acknowledgement. */
void packet_acknowledge(struct packet_output *out, char byte);

/* A packet: begin, contents, end. One that does not fit becomes an error reply. */
void packet_begin(struct packet_output *out);
void packet_end(struct packet_output *out);
/* Contents without characters that need an escape. */
void packet_text(struct packet_output *out, const char *text);
__attribute__((format(printf, 2, 3))) void packet_print(struct packet_output *out,
							const char *format, ...);
/* Two hexadecimal digits for each byte. */
void packet_hex(struct packet_output *out, const void *bytes, size_t length);
/* Bytes, escaped where it is necessary. Returns how many of them fit. */
size_t packet_binary(struct packet_output *out, const void *bytes, size_t length);

/* A packet with these contents. */
void packet_reply(struct packet_output *out, const char *text);
/* A packet "E.TEXT": it has failed. */
__attribute__((format(printf, 2, 3))) void packet_error(struct packet_output *out,
							const char *format, ...);

/* Parsers of contents. Each returns whether it has found what it expects, and moves *at behind. */
bool packet_number(const char **at, uint64_t *value); /* hexadecimal, at most 64 bits */
bool packet_char(const char **at, char c);
/* Decodes hexadecimal digits into length bytes. */
bool packet_bytes(const char **at, uint8_t *bytes, size_t length);

#endif
