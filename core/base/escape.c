/* SPDX-License-Identifier: BSD-2-Clause */
/* Escapes text that could control a terminal. */
#include "base/escape.h"

#include <string.h>

/* Characters that are not shown as they are, in ascending order. Of those that are invisible, the
 * joiners and the variation selectors are left out: words and emoji need them. */
static const struct {
	uint32_t first, last;
} unsafe[] = {
	{ 0x0000, 0x001f }, /* C0 controls */
	{ 0x007f, 0x009f }, /* DEL, and C1 controls: U+009B begins a sequence as ESC [ does */
	{ 0x00ad, 0x00ad }, /* soft hyphen: invisible */
	{ 0x034f, 0x034f }, /* combining grapheme joiner: invisible */
	{ 0x061c, 0x061c }, /* Arabic letter mark: bidirectional */
	{ 0x115f, 0x1160 }, /* Hangul fillers */
	{ 0x17b4, 0x17b5 }, /* Khmer inherent vowels: invisible */
	{ 0x180e, 0x180e }, /* Mongolian vowel separator: invisible */
	{ 0x200b, 0x200b }, /* zero width space */
	{ 0x200e, 0x200f }, /* left-to-right mark, right-to-left mark */
	{ 0x2028, 0x202e }, /* line and paragraph separator; bidirectional embeddings, overrides */
	{ 0x2060, 0x206f }, /* word joiner, invisible operators; bidirectional isolates */
	{ 0x3164, 0x3164 }, /* Hangul filler */
	{ 0xfeff, 0xfeff }, /* zero width no-break space, the byte order mark */
	{ 0xffa0, 0xffa0 }, /* halfwidth Hangul filler */
	{ 0xfff0, 0xfffb }, /* unassigned, invisible; interlinear annotations */
	{ 0x1bca0, 0x1bca3 }, /* shorthand format controls: invisible */
	{ 0x1d173, 0x1d17a }, /* musical format controls: invisible */
	{ 0xe0000, 0xe00ff }, /* tags, unassigned: invisible */
	{ 0xe01f0, 0xe0fff }, /* unassigned, invisible */
};

/* Decodes UTF-8. Returns the length of the character, or 0 if it is invalid. */
static size_t
decode(const uint8_t *text, size_t left, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t length = text[0] < 0x80   ? 1
			: text[0] < 0xc0 ? 0
			: text[0] < 0xe0 ? 2
			: text[0] < 0xf0 ? 3
			: text[0] < 0xf8 ? 4
					 : 0;

	if (!length || length > left)
		return 0;
	*code = length == 1 ? text[0] : text[0] & 0x7fu >> length;
	for (size_t i = 1; i < length; i++) {
		if ((text[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (text[i] & 0x3fu);
	}
	/* Overlong, a surrogate, or beyond Unicode. */
	return *code < least[length] || (*code >= 0xd800 && *code < 0xe000) || *code > 0x10ffff
		   ? 0
		   : length;
}

struct character
character_at(const void *text, size_t left)
{
	struct character c = { .safe = true };

	c.length = decode(text, left, &c.code);
	if (!c.length)
		return (struct character){ .length = 1, .code = *(const uint8_t *)text };
	for (size_t i = 0; i < sizeof(unsafe) / sizeof(*unsafe) && c.code >= unsafe[i].first; i++)
		if (c.code <= unsafe[i].last)
			c.safe = false;
	return c;
}

bool
text_is_safe(const char *text)
{
	size_t left = strlen(text);

	while (left) {
		struct character c = character_at(text, left);

		if (!c.safe)
			return false;
		text += c.length;
		left -= c.length;
	}
	return true;
}

bool
text_is_word(const char *text)
{
	return *text && text_is_safe(text) && !strpbrk(text, " !\"#$&'()*;<>?[\\]`{|}~");
}

/* Escapes a byte in at most 4 characters. Returns their number. */
static size_t
escape_byte(char to[4], uint8_t byte)
{
	static const char digits[] = "0123456789abcdef";
	static const char letters[32] = { ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't' };

	to[0] = '\\';
	to[1] = byte < sizeof(letters) && letters[byte] ? letters[byte] : 'x';
	to[2] = digits[byte >> 4];
	to[3] = digits[byte & 15];
	return to[1] == 'x' ? 4 : 2;
}

size_t
escape_text(char *to, size_t size, const void *text, size_t length)
{
	const uint8_t *bytes = text;
	size_t used = 0;

	for (size_t i = 0; i < length;) {
		struct character c = character_at(bytes + i, length - i);
		char shown[16];
		size_t n = 0;

		if (c.safe)
			memcpy(shown, bytes + i, n = c.length);
		else
			for (size_t b = 0; b < c.length; b++)
				n += escape_byte(shown + n, bytes[i + b]);
		if (used + n >= size)
			break;
		memcpy(to + used, shown, n);
		used += n;
		i += c.length;
	}
	if (size)
		to[used] = '\0';
	return used;
}
