/* SPDX-License-Identifier: BSD-2-Clause */
/* Values as they are written in a config: numbers, sizes, durations, yes or no, bytes in hex. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

const char parse_no_memory[] = "needs more memory than there is";

static int
digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

/* The number that text begins with; what follows it in *rest, which is text when there is none. */
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

static const char *
parse_scaled(const char *text, const struct unit *units, uint64_t *value, const char *wrong)
{
	const char *rest;
	bool fits = take_number(text, value, &rest);

	if (rest == text)
		return wrong;
	while (units->name && strcasecmp(units->name, rest))
		units++;
	if (!units->name)
		return wrong;
	if (!fits || __builtin_mul_overflow(*value, units->factor, value))
		return "does not fit into 64 bits";
	return NULL;
}

const char *
parse_u64(const char *text, uint64_t *value)
{
	static const struct unit units[] = { { "", 1 }, { NULL, 0 } };

	return parse_scaled(text, units, value, "is not a number (decimal, or hex with 0x)");
}

/* From the smallest on. */
static const struct unit sizes[] = {
	{ "", 1 },           { "K", 1ull << 10 }, { "M", 1ull << 20 },
	{ "G", 1ull << 30 }, { "T", 1ull << 40 }, { NULL, 0 },
};
static const struct unit durations[] = {
	{ "", 1 }, { "ns", 1 }, { "us", 1000 }, { "ms", 1000000 }, { "s", 1000000000 }, { NULL, 0 },
};

static const char *
write_scaled(uint64_t value, const struct unit *units, char *buffer, size_t size)
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
write_size(uint64_t value, char *buffer, size_t size)
{
	return write_scaled(value, sizes, buffer, size);
}

const char *
write_duration(uint64_t value, char *buffer, size_t size)
{
	return write_scaled(value, durations, buffer, size);
}

const char *
parse_size(const char *text, uint64_t *value)
{
	return parse_scaled(text, sizes, value, "is not a size (as 4096, 0x1000, 64K, 1M, 2G)");
}

const char *
parse_duration(const char *text, uint64_t *value)
{
	return parse_scaled(text, durations, value, "is not a duration (as 100ns, 10us, 5ms, 2s)");
}

const char *
parse_bool(const char *text, bool *value)
{
	static const char *const words[] = { "no", "yes", "off", "on", "false", "true", "0", "1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (!strcmp(text, words[i])) {
			*value = i & 1;
			return NULL;
		}
	return "is neither yes, on, true, 1 nor no, off, false, 0";
}

const char *
parse_hex(const char *text, uint8_t **bytes, size_t *length)
{
	size_t digits = 0;
	uint8_t *to = calloc(strlen(text) / 2 + 1, 1);

	if (!to)
		return parse_no_memory;
	for (; *text; text++) {
		if (isspace((unsigned char)*text))
			continue;
		if (digit(*text) > 15) {
			free(to);
			return "is not bytes in hex (as ba f8 03)";
		}
		to[digits / 2] = (uint8_t)(to[digits / 2] << 4 | digit(*text));
		digits++;
	}
	if (digits & 1) {
		free(to);
		return "has half a byte: an odd number of hex digits";
	}
	*bytes = to;
	*length = digits / 2;
	return NULL;
}
