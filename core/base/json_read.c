/* SPDX-License-Identifier: BSD-2-Clause */
/* Parser of JSON (RFC 8259) that reads values in place. */
#include "base/json_read.h"

#include <stdlib.h>
#include <string.h>

/*
 * Each of these functions returns the end of the element that it reads, or NULL if the element is
 * missing or incomplete. They never read the byte at end.
 */
static const char *read_value(const char *at, const char *end, unsigned depth);

static const char *
skip_blanks(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
		at++;
	return at;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The value of four hexadecimal digits, or -1. */
static int
hex4(const char *at, const char *end)
{
	int value = 0;

	if (end - at < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_digit(at[i]);

		if (digit < 0)
			return -1;
		value = value << 4 | digit;
	}
	return value;
}

static const char *
read_string(const char *at, const char *end)
{
	if (at == end || *at++ != '"')
		return NULL;
	for (; at < end && *at != '"'; at++) {
		if ((unsigned char)*at < ' ')
			return NULL;
		if (*at != '\\')
			continue;
		if (++at == end || !*at || !strchr("\"\\/bfnrtu", *at))
			return NULL;
		if (*at == 'u' && hex4(at + 1, end) < 0)
			return NULL;
	}
	return at < end ? at + 1 : NULL;
}

static const char *
read_digits(const char *at, const char *end)
{
	const char *from = at;

	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return at > from ? at : NULL;
}

static const char *
read_number(const char *at, const char *end)
{
	at += at < end && *at == '-';
	at = at < end && *at == '0' ? at + 1 : read_digits(at, end);
	if (at && at < end && *at == '.')
		at = read_digits(at + 1, end);
	if (at && at < end && (*at | 0x20) == 'e') {
		at++;
		at += at < end && (*at == '+' || *at == '-');
		at = read_digits(at, end);
	}
	return at;
}

static const char *
read_word(const char *at, const char *end)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		size_t length = strlen(words[i]);

		if ((size_t)(end - at) >= length && !memcmp(at, words[i], length))
			return at + length;
	}
	return NULL;
}

/* Reads an object (close is }) or an array (close is ]). */
static const char *
read_items(const char *at, const char *end, char close, unsigned depth)
{
	at = skip_blanks(at + 1, end);
	if (at < end && *at == close)
		return at + 1;
	for (;;) {
		if (close == '}') {
			at = read_string(at, end);
			at = at ? skip_blanks(at, end) : NULL;
			if (!at || at == end || *at++ != ':')
				return NULL;
			at = skip_blanks(at, end);
		}
		at = read_value(at, end, depth);
		at = at ? skip_blanks(at, end) : NULL;
		if (!at || at == end || (*at != ',' && *at != close))
			return NULL;
		if (*at++ == close)
			return at;
		at = skip_blanks(at, end);
	}
}

static const char *
read_value(const char *at, const char *end, unsigned depth)
{
	if (at == end)
		return NULL;
	if (*at == '"')
		return read_string(at, end);
	if (*at == '{' || *at == '[')
		return depth ? read_items(at, end, *at == '{' ? '}' : ']', depth - 1) : NULL;
	return *at == '-' || (*at >= '0' && *at <= '9') ? read_number(at, end) : read_word(at, end);
}

int
json_open(const char *text, size_t length, struct json *root, struct why *why)
{
	const char *end = text + length;

	root->at = skip_blanks(text, end);
	root->end = read_value(root->at, end, JSON_DEPTH);
	if (!root->end)
		return why_set(why, "is not valid JSON");
	if (skip_blanks(root->end, end) != end)
		return why_set(why, "has more than one JSON value");
	return 0;
}

bool
json_next(const struct json *parent, const char **position, struct json *name, struct json *value)
{
	const char *at = *position, *end = parent->end;
	bool object = *parent->at == '{';

	if (!at && !object && *parent->at != '[')
		return false;
	at = skip_blanks(at ? at : parent->at + 1, end);
	if (*at == ',')
		at = skip_blanks(at + 1, end);
	if (*at == '}' || *at == ']')
		return false;
	if (name)
		*name = (struct json){ at, at };
	if (object) {
		const char *behind = read_string(at, end);

		if (name)
			name->end = behind;
		at = skip_blanks(skip_blanks(behind, end) + 1, end);
	}
	*value = (struct json){ at, read_value(at, end, JSON_DEPTH) };
	*position = value->end;
	return true;
}

bool
json_find(const struct json *object, const char *name, struct json *value)
{
	size_t length = strlen(name);
	const char *position = NULL;
	struct json key;

	while (*object->at == '{' && json_next(object, &position, &key, value))
		if ((size_t)(key.end - key.at) == length + 2 && !memcmp(key.at + 1, name, length))
			return true;
	return false;
}

/* Digits without a sign. They may be none. */
static bool
number_of(const char *c, const char *end, unsigned base, uint64_t *number)
{
	uint64_t sum = 0;

	for (; c < end; c++) {
		unsigned digit = *c >= '0' && *c <= '9'   ? (unsigned)(*c - '0')
				 : *c >= 'a' && *c <= 'f' ? (unsigned)(*c - 'a' + 10)
							  : base;

		if (digit >= base || __builtin_mul_overflow(sum, base, &sum) ||
		    __builtin_add_overflow(sum, digit, &sum))
			return false;
	}
	*number = sum;
	return true;
}

bool
json_is_u64(const struct json *value, uint64_t *number)
{
	const char *at = value->at, *end = value->end;

	if (end - at > 4 && !memcmp(at, "\"0x", 3))
		return number_of(at + 3, end - 1, 16, number);
	return number_of(at, end, 10, number);
}

bool
json_find_u64(const struct json *object, const char *name, uint64_t *number)
{
	struct json value;

	return json_find(object, name, &value) && json_is_u64(&value, number);
}

bool
json_is_true(const struct json *value)
{
	return *value->at == 't';
}

static char *
put_utf8(char *to, unsigned long c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800)
		*to++ = (char)(0xc0 | c >> 6);
	else {
		if (c < 0x10000)
			*to++ = (char)(0xe0 | c >> 12);
		else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* Decodes an escape. *at is behind its backslash and moves behind the escape. */
static unsigned long
escaped(const char **at, const char *end)
{
	static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
	const char *name = strchr(names, **at);
	unsigned long c;
	int low;

	if (*(*at)++ != 'u')
		return name ? (unsigned char)values[name - names] : (unsigned char)(*at)[-1];
	c = (unsigned long)hex4(*at, end);
	*at += 4;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	low = end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' ? hex4(*at + 2, end) : -1;
	if (c > 0xdbff || low < 0xdc00 || low > 0xdfff)
		return 0xfffd; /* half of a surrogate pair */
	*at += 6;
	return 0x10000 + ((c - 0xd800) << 10) + ((unsigned long)low - 0xdc00);
}

char *
json_string(const struct json *value, size_t *length)
{
	const char *at = value->at + 1, *end = value->end - 1;
	char *text, *to;

	if (*value->at != '"')
		return NULL;
	text = to = malloc((size_t)(value->end - value->at)); /* UTF-8 is never longer */
	if (!text)
		return NULL;
	while (at < end)
		if (*at == '\\') {
			at++;
			to = put_utf8(to, escaped(&at, end));
		} else
			*to++ = *at++;
	*to = '\0';
	*length = (size_t)(to - text);
	return text;
}
