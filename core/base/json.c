/* SPDX-License-Identifier: BSD-2-Clause */
/* Writing JSON strings (RFC 8259). */
#include "base/json.h"

#include <stdint.h>

/* The length of the UTF-8 character at text, or 0 if it is invalid. */
static size_t
utf8(const uint8_t *text, size_t left)
{
	size_t length = text[0] < 0x80   ? 1
			: text[0] < 0xc2 ? 0
			: text[0] < 0xe0 ? 2
			: text[0] < 0xf0 ? 3
			: text[0] < 0xf5 ? 4
					 : 0;

	if (length > left)
		return 0;
	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong, a surrogate, or above U+10FFFF. */
	if (length > 2 &&
	    ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	     (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f)))
		return 0;
	return length;
}

void
json_text(FILE *out, const void *text, size_t length)
{
	const uint8_t *bytes = text;

	putc('"', out);
	for (size_t i = 0, n; i < length; i += n) {
		uint8_t c = bytes[i];

		n = utf8(bytes + i, length - i);
		/* U+0080 to U+009f are control characters too. */
		if (!n || c < ' ' || c == 0x7f || (c == 0xc2 && bytes[i + 1] < 0xa0)) {
			c = n == 2 ? bytes[i + 1] : c;
			n += !n;
			fprintf(out, "\\u%04x", c);
		} else {
			if (c == '"' || c == '\\')
				putc('\\', out);
			fwrite(bytes + i, 1, n, out);
		}
	}
	putc('"', out);
}
