/* SPDX-License-Identifier: BSD-2-Clause */
/* The names of items: their form, and a quick check that they are distinct. */
#include <string.h>

#include "base/record_form.h"

/* Names are printed and typed: printable ASCII without the characters that quote or separate. */
bool
record_name_valid(const char *name, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (name[i] <= ' ' || name[i] > '~' || name[i] == '"' || name[i] == '\\' ||
		    name[i] == '=')
			return false;
	return true;
}

bool
record_name(const char *name)
{
	size_t length = strlen(name);

	return length && length <= UINT8_MAX && record_name_valid(name, length);
}

/* FNV-1a. */
static uint32_t
hash(const char *name, size_t length)
{
	uint32_t value = 2166136261u;

	for (size_t i = 0; i < length; i++)
		value = (value ^ (uint8_t)name[i]) * 16777619u;
	return value ^ value >> 16;
}

bool
record_name_seen(uint64_t *bits, uint32_t count, const char *name, size_t length)
{
	uint32_t bit = hash(name, length) % count;
	bool before = bits[bit / 64] >> bit % 64 & 1;

	bits[bit / 64] |= 1ull << bit % 64;
	return before;
}
