/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing JSON strings (RFC 8259). */
#include "base/json.h"

#include <stdint.h>
#include <string.h>

#include "base/escape.h"

/* Writes a character that is not written as it is. */
static void
put_escape(FILE *out, uint32_t code)
{
	if (code > 0xffff) {
		put_escape(out, 0xd800 + ((code - 0x10000) >> 10));
		code = 0xdc00 + ((code - 0x10000) & 0x3ff);
	}
	fprintf(out, "\\u%04x", code);
}

void
json_text(FILE *out, const void *text, size_t length)
{
	const uint8_t *bytes = text;

	putc('"', out);
	for (size_t i = 0; i < length;) {
		struct character c = character_at(bytes + i, length - i);

		if (c.code == '"' || c.code == '\\')
			putc('\\', out);
		if (c.safe)
			fwrite(bytes + i, 1, c.length, out);
		else
			put_escape(out, c.code);
		i += c.length;
	}
	putc('"', out);
}

void
json_copy(FILE *out, const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length;) {
		struct character c = character_at(text + i, length - i);

		if (c.safe)
			fwrite(text + i, 1, c.length, out);
		else if (c.code < ' ') /* between tokens; in a string it is not valid */
			putc(' ', out);
		else
			put_escape(out, c.code);
		i += c.length;
	}
}

void
json_bytes(FILE *out, const void *bytes, size_t length)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *from = bytes;
	char text[1024];

	putc('"', out);
	while (length) {
		size_t part = length < sizeof(text) / 2 ? length : sizeof(text) / 2;

		for (size_t i = 0; i < part; i++) {
			text[2 * i] = digits[from[i] >> 4];
			text[2 * i + 1] = digits[from[i] & 15];
		}
		fwrite(text, 2, part, out);
		from += part;
		length -= part;
	}
	putc('"', out);
}

void
json_hex(FILE *out, uint64_t value)
{
	fprintf(out, "\"0x%llx\"", (unsigned long long)value);
}

void
json_decimal(FILE *out, uint64_t value, uint64_t unit)
{
	fprintf(out, "%llu.%u", (unsigned long long)(value / unit),
		(unsigned)(value % unit / (unit / 10)));
}
