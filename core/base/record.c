/* SPDX-License-Identifier: BSD-2-Clause */
/* Records: the check of a buffer, and lookups in a checked buffer. */
#include <stdlib.h>
#include <string.h>

#include "base/record_form.h"

#define NAME_BITS 4096u

size_t
record_width(enum record_type type)
{
	switch (type) {
	case RECORD_U16:
		return 2;
	case RECORD_U32:
		return 4;
	case RECORD_U64:
		return 8;
	default:
		return 1;
	}
}

static bool
same_name(const struct record *a, const char *name, size_t length)
{
	return a->name_length == length && !memcmp(a->name, name, length);
}

/*
 * Reads the item at position, of length bytes of items. Returns its total size, or 0 if it exceeds
 * length.
 */
static size_t
item_at(const uint8_t *data, size_t length, size_t position, struct record *item)
{
	const uint8_t *at = data + position;
	size_t left = length - position, payload;

	if (left < RECORD_HEADER(0) || left < RECORD_HEADER(at[1]))
		return 0;
	item->type = at[0] & (uint8_t)~RECORD_ARRAY;
	item->array = at[0] & RECORD_ARRAY;
	item->name_length = at[1];
	item->name = (const char *)at + 2;
	memcpy(&item->count, at + 2 + at[1], sizeof(item->count));
	item->data = at + RECORD_HEADER(at[1]);
	payload = (size_t)item->count * record_width((enum record_type)item->type);
	if (payload > left - RECORD_HEADER(at[1]))
		return 0;
	return RECORD_HEADER(at[1]) + payload;
}

bool
record_next(const struct record *parent, size_t *position, struct record *item)
{
	size_t size;

	if (*position >= parent->count)
		return false;
	size = item_at(parent->data, parent->count, *position, item);
	*position += size;
	return size;
}

static int
check_value(const struct record *item, struct why *why)
{
	if (!record_is_number(item->type) && !record_is_nest(item->type) &&
	    item->type != RECORD_TEXT)
		return why_set(why, "an item has an unknown type");
	if (item->array && !record_is_number(item->type))
		return why_set(why, "an array has elements of an invalid type");
	if (record_is_number(item->type) && !item->array && item->count != 1)
		return why_set(why, "a single value has a count other than 1");
	if (item->type == RECORD_TEXT && memchr(item->data, 0, item->count))
		return why_set(why, "a text contains a NUL byte");
	if (item->type == RECORD_BOOL &&
	    record_find_above(RECORD_BOOL, item->data, item->count, 1) < item->count)
		return why_set(why, "a boolean is neither 0 nor 1");
	return 0;
}

/* Names with different hash bits are distinct. Otherwise they are sorted. */
static int
check_names(const struct record *group, struct why *why)
{
	uint64_t bits[NAME_BITS / 64] = { 0 };
	struct record_index index = { .count = 0 };
	size_t position = 0, count = 0;
	bool distinct = true;
	struct record item;
	int r = 0;

	while (record_next(group, &position, &item)) {
		if (count++ == RECORD_ITEMS)
			return why_set(why, "a group has too many items");
		if (!item.name_length || !record_name_valid(item.name, item.name_length))
			return why_set(why, "an item has no name or an invalid one");
		distinct &= !record_name_seen(bits, NAME_BITS, item.name, item.name_length);
	}
	if (distinct)
		return 0;
	if (record_index_open(&index, group))
		r = why_no_memory(why);
	else if (record_index_duplicate(&index))
		r = why_set(why, "a group has two items with the same name");
	record_index_free(&index);
	return r;
}

static int
check(const struct record *parent, unsigned depth, struct why *why)
{
	struct record item;
	size_t position = 0, size;

	for (; position < parent->count; position += size) {
		size = item_at(parent->data, parent->count, position, &item);
		if (!size)
			return why_set(why, "an item extends past the end of its parent");
		if (check_value(&item, why))
			return -1;
		if (parent->type == RECORD_LIST && (item.type != RECORD_GROUP || item.name_length))
			return why_set(why, "an element of a list is not an unnamed group");
		if (!record_is_nest(item.type))
			continue;
		if (depth == RECORD_DEPTH)
			return why_set(why, "groups are nested too deep");
		if (check(&item, depth + 1, why))
			return -1;
	}
	return parent->type == RECORD_GROUP ? check_names(parent, why) : 0;
}

int
record_open(const void *data, size_t length, struct record *root, struct why *why)
{
	if (length > UINT32_MAX)
		return why_set(why, "it is longer than 4 GiB");
	*root = (struct record){
		.type = RECORD_GROUP, .name = "", .count = (uint32_t)length, .data = data
	};
	return check(root, 0, why);
}

bool
record_is(const struct record *item, const char *name)
{
	return same_name(item, name, strlen(name));
}

bool
record_find(const struct record *group, const char *name, struct record *item)
{
	size_t length = strlen(name), position = 0;

	while (record_next(group, &position, item))
		if (same_name(item, name, length))
			return true;
	return false;
}

size_t
record_elements(const struct record *parent)
{
	size_t position = 0, count = 0;
	struct record item;

	while (record_next(parent, &position, &item))
		count++;
	return count;
}

int
record_only(const struct record *group, const char *const *names, struct why *why)
{
	size_t position = 0;
	struct record item;

	while (record_next(group, &position, &item)) {
		size_t i = 0;

		while (names[i] && !record_is(&item, names[i]))
			i++;
		if (!names[i])
			return why_set(why, "%.*s is unknown", item.name_length, item.name);
	}
	return 0;
}

/*
 * One function per width: the first value in [begin, end) that exceeds max, or end. The blocks have
 * a fixed length and no early exit, so that the compiler vectorizes the comparison.
 */
#define BLOCK 256u /* values */
#define FIND_ABOVE(name, number)                                                                   \
	static size_t name(const uint8_t *values, size_t count, number max)                        \
	{                                                                                          \
		size_t begin = 0;                                                                  \
                                                                                                   \
		for (; count - begin >= BLOCK; begin += BLOCK) {                                   \
			number block[BLOCK], above = 0;                                            \
                                                                                                   \
			memcpy(block, values + begin * sizeof(number), sizeof(block));             \
			for (size_t i = 0; i < BLOCK; i++)                                         \
				above |= (number)(block[i] > max);                                 \
			if (above)                                                                 \
				break;                                                             \
		}                                                                                  \
		for (; begin < count; begin++) {                                                   \
			number value;                                                              \
                                                                                                   \
			memcpy(&value, values + begin * sizeof(number), sizeof(value));            \
			if (value > max)                                                           \
				break;                                                             \
		}                                                                                  \
		return begin;                                                                      \
	}
FIND_ABOVE(find_above_8, uint8_t)
FIND_ABOVE(find_above_16, uint16_t)
FIND_ABOVE(find_above_32, uint32_t)
FIND_ABOVE(find_above_64, uint64_t)

size_t
record_find_above(enum record_type type, const void *values, size_t count, uint64_t max)
{
	size_t width = record_width(type);

	if (max >= UINT64_MAX >> (64 - 8 * width))
		return count;
	switch (width) {
	case 1:
		return find_above_8(values, count, (uint8_t)max);
	case 2:
		return find_above_16(values, count, (uint16_t)max);
	case 4:
		return find_above_32(values, count, (uint32_t)max);
	default:
		return find_above_64(values, count, max);
	}
}

uint64_t
record_number(const struct record *item, uint32_t index)
{
	size_t width = record_width((enum record_type)item->type);
	uint64_t value = 0;

	memcpy(&value, item->data + index * width, width);
	return value;
}

bool
record_get_u64(const struct record *group, const char *name, uint64_t *value)
{
	struct record item;

	if (!record_find(group, name, &item) || !record_is_number(item.type) || item.array)
		return false;
	*value = record_number(&item, 0);
	return true;
}

int
record_copy_text(const struct record *group, const char *name, char **text, struct why *why)
{
	struct record item;

	if (!record_find(group, name, &item) || item.type != RECORD_TEXT)
		return why_set(why, "%s is missing or is not a text", name);
	*text = strndup((const char *)item.data, item.count);
	return *text ? 0 : why_no_memory(why);
}

bool
record_get_bytes(const struct record *group, const char *name, const uint8_t **bytes,
		 size_t *length)
{
	struct record item;

	if (!record_find(group, name, &item) || item.type != RECORD_U8 || !item.array)
		return false;
	*bytes = item.data;
	*length = item.count;
	return true;
}
