/* SPDX-License-Identifier: BSD-2-Clause */
/* Parsing and formatting of numbers, sizes, durations and names. */
#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LENGTH 63u /* nearest() ignores longer names */

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/*
 * Parses the number at the beginning of text. *rest points behind it, or equals text if there is no
 * number. Returns false if it exceeds 64 bits.
 */
static bool
take_number(const char *text, uint64_t *value, const char **rest)
{
	int base = text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10;
	const char *p = base == 16 ? text + 2 : text;
	bool fits = true;

	*rest = text;
	*value = 0;
	for (; digit(*p) < base; *rest = ++p)
		if (__builtin_mul_overflow(*value, (uint64_t)base, value) ||
		    __builtin_add_overflow(*value, (uint64_t)digit(*p), value))
			fits = false;
	return fits;
}

struct unit {
	const char *name;
	uint64_t factor;
};

static int
parse_scaled(const char *text, const struct unit *units, uint64_t *value, const char *wrong,
	     struct why *why)
{
	const char *rest;
	bool fits = take_number(text, value, &rest);

	if (rest == text)
		return why_set(why, "%s", wrong);
	while (units->name && strcasecmp(units->name, rest))
		units++;
	if (!units->name)
		return why_set(why, "%s", wrong);
	if (!fits || __builtin_mul_overflow(*value, units->factor, value))
		return why_set(why, "does not fit into 64 bits");
	return 0;
}

int
parse_u64(const char *text, uint64_t *value, struct why *why)
{
	static const struct unit units[] = { { "", 1 }, { NULL, 0 } };

	return parse_scaled(text, units, value, "is not a number (decimal, or hex with 0x)", why);
}

/* In ascending order. */
static const struct unit sizes[] = {
	{ "", 1 },           { "K", 1ull << 10 }, { "M", 1ull << 20 },
	{ "G", 1ull << 30 }, { "T", 1ull << 40 }, { NULL, 0 },
};
static const struct unit durations[] = {
	{ "", 1 }, { "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 }, { NULL, 0 },
};

static const char *
format_scaled(uint64_t value, const struct unit *units, char *buffer, size_t size)
{
	const struct unit *largest = units;

	for (const struct unit *unit = units; unit->name && value; unit++)
		if (value % unit->factor == 0)
			largest = unit;
	snprintf(buffer, size, "%llu%s", (unsigned long long)(value / largest->factor),
		 largest->name);
	return buffer;
}

const char *
format_size(uint64_t value, char *buffer, size_t size)
{
	return format_scaled(value, sizes, buffer, size);
}

const char *
format_duration(uint64_t value, char *buffer, size_t size)
{
	return format_scaled(value, durations, buffer, size);
}

const char *
format_bytes(uint64_t value, char *buffer, size_t size)
{
	size_t length;

	format_size(value, buffer, size);
	length = strlen(buffer);
	if (length && isdigit((unsigned char)buffer[length - 1]))
		snprintf(buffer + length, size - length, " bytes");
	return buffer;
}

int
parse_size(const char *text, uint64_t *value, struct why *why)
{
	return parse_scaled(text, sizes, value,
			    "is not a size (such as 4096, 0x1000, 64K, 1M or 2G)", why);
}

int
parse_duration(const char *text, uint64_t *value, struct why *why)
{
	return parse_scaled(text, durations, value,
			    "is not a duration (such as 100ns, 10us, 5ms or 2s)", why);
}

int
parse_time(const char *text, uint64_t *value, struct why *why)
{
	uint64_t number;

	if (!parse_u64(text, &number, NULL) && number)
		return why_set(why, "has no unit; write %ss, %sms, %sus or %sns", text, text, text,
			       text);
	return parse_duration(text, value, why);
}

int
parse_bool(const char *text, bool *value, struct why *why)
{
	static const char *const words[] = { "no", "yes", "off", "on", "false", "true", "0", "1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(text, words[i])) {
			*value = i & 1;
			return 0;
		}
	return why_set(why, "is not a boolean; use yes, on, true, 1, no, off, false or 0");
}

int
parse_hex(const char *text, uint8_t **bytes, size_t *length, struct why *why)
{
	size_t digits = 0;
	uint8_t *to = calloc(strlen(text) / 2 + 1, 1);

	if (!to)
		return why_no_memory(why);
	for (; *text; text++) {
		if (isspace((unsigned char)*text))
			continue;
		if (digit(*text) > 15) {
			free(to);
			return why_set(why, "is not a list of hex bytes (such as ba f8 03)");
		}
		to[digits / 2] = (uint8_t)(to[digits / 2] << 4 | digit(*text));
		digits++;
	}
	if (digits & 1) {
		free(to);
		return why_set(why, "has an odd number of hex digits");
	}
	*bytes = to;
	*length = digits / 2;
	return 0;
}

size_t
text_vfit(char *buffer, size_t size, const char *format, va_list arguments)
{
	static const char gap[] = " ... ";
	va_list again;
	char *whole;
	size_t head, tail;
	int length;

	va_copy(again, arguments);
	length = vsnprintf(buffer, size, format, arguments);
	if (length < 0)
		*buffer = '\0';
	if (length >= (int)size && size > 2 * sizeof(gap) &&
	    (length = vasprintf(&whole, format, again)) >= 0) {
		head = (size - sizeof(gap)) / 2;
		tail = size - sizeof(gap) - head;
		memcpy(buffer + head, gap, sizeof(gap) - 1);
		memcpy(buffer + head + sizeof(gap) - 1, whole + length - tail, tail + 1);
		free(whole);
	}
	va_end(again);
	return strlen(buffer);
}

size_t
text_fit(char *buffer, size_t size, const char *format, ...)
{
	va_list arguments;
	size_t length;

	va_start(arguments, format);
	length = text_vfit(buffer, size, format, arguments);
	va_end(arguments);
	return length;
}

/* Of ASCII, in any locale. */
static int
lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static size_t
smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * Edit distance: insertions, deletions, substitutions and swaps of neighbours (optimal string
 * alignment), without regard to case. Three rows of the table are enough.
 */
static size_t
distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t rows[3][NAME_MAX_LENGTH + 1];
	size_t *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= b_length; j++)
		above[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		size_t *last = before;

		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			row[j] = smaller(smaller(above[j], row[j - 1]) + 1,
					 above[j - 1] + (lower(a[i - 1]) != lower(b[j - 1])));
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
			    lower(a[i - 2]) == lower(b[j - 1]))
				row[j] = smaller(row[j], before[j - 2] + 1);
		}
		before = above;
		above = row;
		row = last;
	}
	return above[b_length];
}

const char *
nearest(const char *text, const char *const *candidates)
{
	size_t length = strlen(text), best = length / 3 + 2; /* one above the limit */
	const char *found = NULL;

	if (length > NAME_MAX_LENGTH)
		return NULL;
	for (; *candidates; candidates++) {
		size_t candidate = strlen(*candidates), edits;

		if (candidate > NAME_MAX_LENGTH)
			continue;
		edits = distance(text, length, *candidates, candidate);
		/* Half of the letters must stay: "foo" is not a misspelt "log". */
		if (edits < best && edits < candidate && 2 * edits <= length) {
			best = edits;
			found = *candidates;
		}
	}
	return found;
}

struct hint
did_you_mean(const char *near, const char *otherwise)
{
	struct hint hint;

	if (near)
		snprintf(hint.text, sizeof(hint.text), "; did you mean %s?", near);
	else
		snprintf(hint.text, sizeof(hint.text), "%s", otherwise);
	return hint;
}

const char *
format_names(const char *lead, const char *const *names, char *buffer, size_t size)
{
	size_t length = (size_t)snprintf(buffer, size, "%s", lead);

	for (size_t i = 0; names[i] && length < size; i++)
		length += (size_t)snprintf(buffer + length, size - length, "%s%s",
					   !i             ? ""
					   : names[i + 1] ? ", "
							  : " or ",
					   names[i]);
	return buffer;
}
