/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets of gdb's remote protocol: see packet.h. */
#include "packet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ESCAPE '}'
#define ESCAPE_FLIP 0x20
#define END_LENGTH 3 /* "#", two digits */

static int
digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void
take_content(struct packet_input *in, uint8_t byte)
{
	in->sum = (uint8_t)(in->sum + byte);
	if (byte == ESCAPE && !in->escaped) {
		in->escaped = true;
		return;
	}
	if (in->escaped)
		byte ^= ESCAPE_FLIP;
	in->escaped = false;
	if (in->length == PACKET_MAX)
		in->too_long = true;
	else
		in->bytes[in->length++] = byte;
}

static enum packet_event
take_sum(struct packet_input *in, uint8_t byte)
{
	int high = digit(in->high), low = digit(byte);

	in->at = PACKET_BETWEEN;
	if (high < 0 || low < 0 || (high << 4 | low) != in->sum)
		return PACKET_DAMAGED;
	in->bytes[in->length] = '\0';
	return in->too_long ? PACKET_LONG : PACKET_COMPLETE;
}

enum packet_event
packet_take(struct packet_input *in, uint8_t byte)
{
	/* No packet contains a "$": here the end of one has been lost. */
	if (byte == '$') {
		in->at = PACKET_CONTENTS;
		in->sum = 0;
		in->escaped = in->too_long = false;
		in->length = 0;
		return PACKET_NOTHING;
	}
	switch (in->at) {
	case PACKET_BETWEEN:
		return byte == 3 ? PACKET_INTERRUPT : byte == '-' ? PACKET_REPEAT : PACKET_NOTHING;
	case PACKET_CONTENTS:
		if (byte == '#')
			in->at = PACKET_SUM_HIGH;
		else
			take_content(in, byte);
		return PACKET_NOTHING;
	case PACKET_SUM_HIGH:
		in->high = byte;
		in->at = PACKET_SUM_LOW;
		return PACKET_NOTHING;
	case PACKET_SUM_LOW:
		return take_sum(in, byte);
	}
	return PACKET_NOTHING;
}

void
packet_clear(struct packet_output *out)
{
	out->length = out->sent = out->last = 0;
}

void
packet_repeat(struct packet_output *out)
{
	out->sent = out->last;
}

/* The room for a packet's contents. */
static size_t
room(const struct packet_output *out)
{
	return sizeof(out->bytes) - END_LENGTH - out->length;
}

static void
append(struct packet_output *out, const void *bytes, size_t length)
{
	if (out->overflow || length > room(out)) {
		out->overflow = true;
		return;
	}
	memcpy(out->bytes + out->length, bytes, length);
	out->length += length;
}

void
packet_acknowledge(struct packet_output *out, char byte)
{
	if (out->length < sizeof(out->bytes) - END_LENGTH)
		out->bytes[out->length++] = (uint8_t)byte;
}

void
packet_begin(struct packet_output *out)
{
	out->last = out->length;
	out->overflow = false;
	append(out, "$", 1);
}

void
packet_end(struct packet_output *out)
{
	uint8_t sum = 0;

	if (out->overflow) {
		out->length = out->last;
		out->overflow = false;
		append(out, "$E.reply too long", 17);
		if (out->overflow)
			return; /* the client has not read what it was sent before */
	}
	for (size_t i = out->last + 1; i < out->length; i++)
		sum = (uint8_t)(sum + out->bytes[i]);
	out->bytes[out->length++] = '#';
	out->bytes[out->length++] = (uint8_t) "0123456789abcdef"[sum >> 4];
	out->bytes[out->length++] = (uint8_t) "0123456789abcdef"[sum & 15];
}

void
packet_text(struct packet_output *out, const char *text)
{
	append(out, text, strlen(text));
}

void
packet_print(struct packet_output *out, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	packet_text(out, text);
}

void
packet_hex(struct packet_output *out, const void *bytes, size_t length)
{
	const uint8_t *from = bytes;
	uint8_t *to = out->bytes + out->length;

	if (out->overflow || length > room(out) / 2) {
		out->overflow = true;
		return;
	}
	for (size_t i = 0; i < length; i++) {
		*to++ = (uint8_t) "0123456789abcdef"[from[i] >> 4];
		*to++ = (uint8_t) "0123456789abcdef"[from[i] & 15];
	}
	out->length += 2 * length;
}

size_t
packet_binary(struct packet_output *out, const void *bytes, size_t length)
{
	const uint8_t *from = bytes;
	size_t i, end = out->last + PACKET_MAX;

	for (i = 0; i < length && out->length + 2 < end && !out->overflow; i++) {
		uint8_t c = from[i];

		if (c == '#' || c == '$' || c == ESCAPE || c == '*') {
			append(out, "}", 1);
			c ^= ESCAPE_FLIP;
		}
		append(out, &c, 1);
	}
	return i;
}

void
packet_reply(struct packet_output *out, const char *text)
{
	packet_begin(out);
	packet_text(out, text);
	packet_end(out);
}

void
packet_error(struct packet_output *out, const char *format, ...)
{
	char text[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	for (char *c = text; (c = strpbrk(c, "#$}*")) != NULL;)
		*c = '?'; /* gdb prints the text without decoding it */
	packet_begin(out);
	packet_text(out, "E.");
	packet_text(out, text);
	packet_end(out);
}

bool
packet_number(const char **at, uint64_t *value)
{
	const char *from = *at;

	for (*value = 0; digit((uint8_t) * *at) >= 0; ++*at) {
		if (*value >> 60)
			return false;
		*value = *value << 4 | (unsigned)digit((uint8_t) * *at);
	}
	return *at > from;
}

bool
packet_char(const char **at, char c)
{
	if (**at != c)
		return false;
	++*at;
	return true;
}

bool
packet_bytes(const char **at, uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		int high = digit((uint8_t) * *at), low = high < 0 ? -1 : digit((uint8_t)(*at)[1]);

		if (low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
		*at += 2;
	}
	return true;
}
