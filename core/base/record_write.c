/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes records to a buffer. */
#include <stdlib.h>
#include <string.h>

#include "base/record_form.h"

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

/* Sets the bits of the names that were known to be distinct: one follows that is not. */
static void
see_names(struct record_writer *w, struct record_names *names)
{
	size_t open = w->depth ? w->open[w->depth - 1] : 0, position = 0;
	size_t begin = w->depth ? open + RECORD_HEADER(w->data[open + 1]) : w->root;
	const struct record group = { .type = RECORD_GROUP,
				      .count = (uint32_t)(w->length - begin),
				      .data = w->data + begin };
	struct record item;

	while (record_next(&group, &position, &item))
		record_name_seen(names->seen, RECORD_SEEN, item.name, item.name_length);
	names->unseen = false;
}

/* Returns whether the open group or list accepts one more item of this name. */
static bool
may_add(struct record_writer *w, const char *name, size_t length)
{
	struct record_names *names = &w->names[w->depth];

	if (open_type(w) == RECORD_LIST)
		return !name;
	if (!name || !length || length > UINT8_MAX || names->items == RECORD_ITEMS)
		return false;
	names->items++;
	if (names->known)
		return true;
	if (!record_name_valid(name, length))
		return false;
	if (names->unseen)
		see_names(w, names);
	names->doubtful |= record_name_seen(names->seen, RECORD_SEEN, name, length);
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

/* Appends an item and returns the address of its payload of bytes bytes; NULL: it has none, or an
 * error. */
static uint8_t *
put_room(struct record_writer *w, const char *name, uint8_t type, uint32_t count, size_t bytes)
{
	size_t length = name ? strlen(name) : 0;
	uint8_t *to;

	if (w->failed)
		return NULL;
	if (!may_add(w, name, length)) {
		w->failed = true;
		return NULL;
	}
	to = extend(w, RECORD_HEADER(length) + bytes);
	if (!to)
		return NULL;
	*to++ = type;
	*to++ = (uint8_t)length;
	memcpy(to, name ? name : "", length);
	memcpy(to + length, &count, sizeof(count));
	return bytes ? to + length + sizeof(count) : NULL;
}

static void
put(struct record_writer *w, const char *name, uint8_t type, uint32_t count, const void *payload,
    size_t bytes)
{
	uint8_t *to = put_room(w, name, type, count, bytes);

	if (to)
		memcpy(to, payload, bytes);
}

void
record_put(struct record_writer *w, const char *name, enum record_type type, const void *values,
	   size_t count, bool array)
{
	size_t bytes;

	if (!record_is_number((uint8_t)type) || (!array && count != 1) || count > UINT32_MAX ||
	    !name || __builtin_mul_overflow(count, record_width(type), &bytes)) {
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

uint8_t *
record_put_room(struct record_writer *w, const char *name, enum record_type type, size_t count)
{
	size_t bytes;

	if (name && record_is_number((uint8_t)type) && count <= UINT32_MAX &&
	    !__builtin_mul_overflow(count, record_width(type), &bytes))
		return put_room(w, name, (uint8_t)(type | RECORD_ARRAY), (uint32_t)count, bytes);
	w->failed = true;
	return NULL;
}

void
record_begin(struct record_writer *w, const char *name, enum record_type type)
{
	size_t at = w->length;

	if (w->depth == RECORD_DEPTH || !record_is_nest((uint8_t)type) ||
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
record_known_names(struct record_writer *w, bool begin)
{
	struct record_names *names = &w->names[w->depth];

	names->known = begin && !names->items;
	names->unseen |= names->known;
}

void
record_finish(struct record_writer *w)
{
	if (w->depth)
		w->failed = true;
	if (!w->failed)
		check_open(w, w->data + w->root, (uint32_t)(w->length - w->root));
}
