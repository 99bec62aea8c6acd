/* SPDX-License-Identifier: BSD-2-Clause */
/* Records: the writer, the check of a buffer, and lookups in a checked buffer. */
#include "base/record.h"

#include <stdlib.h>
#include <string.h>

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
is_number(uint8_t type)
{
	return type >= RECORD_U8 && type <= RECORD_BOOL;
}

static bool
is_nest(uint8_t type)
{
	return type == RECORD_GROUP || type == RECORD_LIST;
}

/* Names are printed and typed: printable ASCII without the characters that quote or separate. */
static bool
good_name(const char *name, size_t length)
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

	return length && length <= UINT8_MAX && good_name(name, length);
}

static bool
same_name(const struct record *a, const char *name, size_t length)
{
	return a->name_length == length && !memcmp(a->name, name, length);
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

/* Sets the bit of a name. Returns whether it was already set. */
static bool
seen(uint64_t *bits, uint32_t count, const char *name, size_t length)
{
	uint32_t bit = hash(name, length) % count;
	bool before = bits[bit / 64] >> bit % 64 & 1;

	bits[bit / 64] |= 1ull << bit % 64;
	return before;
}

/* Writer. */

void
record_writer_free(struct record_writer *writer)
{
	free(writer->data);
	*writer = (struct record_writer){ 0 };
}

void
record_fail(struct record_writer *w, bool no_memory)
{
	w->failed = true;
	w->no_memory |= no_memory;
}

/* Makes the buffer large enough for length more bytes. Returns 0 or -1. */
static int
grow(struct record_writer *w, size_t length)
{
	size_t end, capacity = w->capacity ? w->capacity : 256;
	uint8_t *data;

	if (__builtin_add_overflow(w->length, length, &end) || end > UINT32_MAX) {
		w->failed = true;
		return -1;
	}
	while (capacity < end)
		capacity *= 2;
	if (capacity == w->capacity)
		return 0;
	data = realloc(w->data, capacity);
	if (!data) {
		w->failed = w->no_memory = true;
		return -1;
	}
	w->data = data;
	w->capacity = capacity;
	return 0;
}

/* Appends length bytes to the buffer and returns their address, or NULL. */
static uint8_t *
extend(struct record_writer *w, size_t length)
{
	if (grow(w, length))
		return NULL;
	w->length += length;
	return w->data + w->length - length;
}

void
record_reserve(struct record_writer *w, size_t length)
{
	size_t end = w->length + length;
	uint8_t *data;

	if (w->failed || end > UINT32_MAX || end <= w->capacity)
		return;
	data = realloc(w->data, end);
	if (!data)
		return;
	w->data = data;
	w->capacity = end;
	explicit_bzero(data + w->length, length); /* the compiler cannot remove it */
}

void
record_root(struct record_writer *w)
{
	w->root = w->length;
	w->depth = 0;
	memset(&w->names[0], 0, sizeof(w->names[0]));
}

void *
record_append(struct record_writer *w, size_t length)
{
	return w->failed ? NULL : extend(w, length);
}

static uint8_t
open_type(const struct record_writer *w)
{
	return w->depth ? w->data[w->open[w->depth - 1]] : (uint8_t)RECORD_GROUP;
}

/* Returns whether the open group or list accepts one more item of this name. */
static bool
may_add(struct record_writer *w, const char *name, size_t length)
{
	if (open_type(w) == RECORD_LIST)
		return !name;
	if (!name || !length || length > UINT8_MAX || !good_name(name, length) ||
	    w->names[w->depth].items++ == RECORD_ITEMS)
		return false;
	w->names[w->depth].doubtful |= seen(w->names[w->depth].seen, RECORD_SEEN, name, length);
	return true;
}

/* Fails if two items of the open group have the same name. count: bytes of its items at data. */
static void
check_open(struct record_writer *w, const uint8_t *data, uint32_t count)
{
	const struct record group = { .type = RECORD_GROUP, .count = count, .data = data };
	struct record_index index;

	if (!w->names[w->depth].doubtful)
		return;
	if (record_index_open(&index, &group))
		record_fail(w, true);
	else if (record_index_duplicate(&index))
		record_fail(w, false);
	record_index_free(&index);
}

static void
put(struct record_writer *w, const char *name, uint8_t type, uint32_t count, const void *payload,
    size_t bytes)
{
	size_t length = name ? strlen(name) : 0;
	uint8_t *to;

	if (w->failed)
		return;
	if (!may_add(w, name, length)) {
		w->failed = true;
		return;
	}
	to = extend(w, RECORD_HEADER(length));
	if (!to)
		return;
	*to++ = type;
	*to++ = (uint8_t)length;
	memcpy(to, name ? name : "", length);
	memcpy(to + length, &count, sizeof(count));
	to = bytes ? extend(w, bytes) : NULL;
	if (to)
		memcpy(to, payload, bytes);
}

void
record_put(struct record_writer *w, const char *name, enum record_type type, const void *values,
	   size_t count, bool array)
{
	size_t bytes;

	if (!is_number((uint8_t)type) || (!array && count != 1) || count > UINT32_MAX || !name ||
	    __builtin_mul_overflow(count, record_width(type), &bytes)) {
		w->failed = true;
		return;
	}
	put(w, name, (uint8_t)(type | (array ? RECORD_ARRAY : 0)), (uint32_t)count, values, bytes);
}

void
record_put_item(struct record_writer *w, const struct record *item)
{
	const uint8_t *begin = (const uint8_t *)item->name - 2;
	size_t bytes = (size_t)item->count * record_width((enum record_type)item->type);
	char name[UINT8_MAX + 1];
	uint8_t *to;

	memcpy(name, item->name, item->name_length);
	name[item->name_length] = '\0';
	if (w->failed || !may_add(w, *name ? name : NULL, item->name_length)) {
		w->failed = true;
		return;
	}
	bytes += RECORD_HEADER(item->name_length);
	to = extend(w, bytes);
	if (to)
		memcpy(to, begin, bytes);
}

void
record_put_u32(struct record_writer *w, const char *name, uint32_t value)
{
	record_put(w, name, RECORD_U32, &value, 1, false);
}

void
record_put_u64(struct record_writer *w, const char *name, uint64_t value)
{
	record_put(w, name, RECORD_U64, &value, 1, false);
}

void
record_put_bool(struct record_writer *w, const char *name, bool value)
{
	record_put(w, name, RECORD_BOOL, &value, 1, false);
}

void
record_put_text(struct record_writer *w, const char *name, const char *text)
{
	size_t length = text ? strlen(text) : 0;

	if (!name || length > UINT32_MAX)
		w->failed = true;
	else if (text)
		put(w, name, RECORD_TEXT, (uint32_t)length, text, length);
}

void
record_put_bytes(struct record_writer *w, const char *name, const void *bytes, size_t length)
{
	record_put(w, name, RECORD_U8, bytes, length, true);
}

void
record_begin(struct record_writer *w, const char *name, enum record_type type)
{
	size_t at = w->length;

	if (w->depth == RECORD_DEPTH || !is_nest((uint8_t)type) ||
	    (!name && type != RECORD_GROUP)) {
		w->failed = true;
		return;
	}
	put(w, name, (uint8_t)type, 0, NULL, 0);
	if (w->failed)
		return;
	w->open[w->depth++] = at;
	memset(&w->names[w->depth], 0, sizeof(w->names[0]));
}

void
record_end(struct record_writer *w)
{
	uint8_t *open;
	uint32_t count;

	if (w->failed)
		return;
	if (!w->depth) {
		w->failed = true;
		return;
	}
	open = w->data + w->open[w->depth - 1];
	count = (uint32_t)(w->data + w->length - (open + RECORD_HEADER(open[1])));
	check_open(w, open + RECORD_HEADER(open[1]), count);
	w->depth--;
	memcpy(open + 2 + open[1], &count, sizeof(count));
}

void
record_finish(struct record_writer *w)
{
	if (w->depth)
		w->failed = true;
	if (!w->failed)
		check_open(w, w->data + w->root, (uint32_t)(w->length - w->root));
}

/* Reader. */

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
	if (!is_number(item->type) && !is_nest(item->type) && item->type != RECORD_TEXT)
		return why_set(why, "an item has an unknown type");
	if (item->array && !is_number(item->type))
		return why_set(why, "an array has elements of an invalid type");
	if (is_number(item->type) && !item->array && item->count != 1)
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
		if (!item.name_length || !good_name(item.name, item.name_length))
			return why_set(why, "an item has no name or an invalid one");
		distinct &= !seen(bits, NAME_BITS, item.name, item.name_length);
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
		if (!is_nest(item.type))
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
record_find_from(const struct record *group, size_t *position, const char *name,
		 struct record *item)
{
	size_t length = strlen(name), begin = *position;

	while (record_next(group, position, item))
		if (same_name(item, name, length))
			return true;
	*position = 0;
	while (*position < begin && record_next(group, position, item))
		if (same_name(item, name, length))
			return true;
	return false;
}

bool
record_find(const struct record *group, const char *name, struct record *item)
{
	size_t position = 0;

	return record_find_from(group, &position, name, item);
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

	if (!record_find(group, name, &item) || !is_number(item.type) || item.array)
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
