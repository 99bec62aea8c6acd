/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saves, loads, checks and resets structures by their tables of fields. A load trusts nothing in
 * the group.
 */
#include "base/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mutant.h"

static size_t
width_of(uint32_t type)
{
	return record_width((enum record_type)type);
}

static bool
is_array(const struct minivmm_field *row)
{
	return row->count || row->counter_type;
}

static uint64_t
type_max(uint32_t type)
{
	return type == MINIVMM_BOOL ? 1 : UINT64_MAX >> (64 - 8 * width_of(type));
}

static uint64_t
get_number(const void *base, uint32_t offset, uint32_t type)
{
	uint64_t value = 0;

	memcpy(&value, (const char *)base + offset, width_of(type));
	return value;
}

static void
set_number(void *base, uint32_t offset, uint32_t type, uint64_t value)
{
	memcpy((char *)base + offset, &value, width_of(type));
}

/* The first element: the member itself, or its target with MINIVMM_POINTER, which may be NULL. */
static void *
elements(const struct minivmm_field *row, const void *base)
{
	void *pointer = (char *)base + row->offset;

	if (row->flags & MINIVMM_POINTER)
		memcpy(&pointer, pointer, sizeof(pointer));
	return pointer;
}

/* The value of the counter, or the fixed number of elements. */
static uint64_t
current_count(const struct minivmm_field *row, const void *base)
{
	if (row->counter_type)
		return get_number(base, row->counter_offset, row->counter_type);
	return row->count ? row->count : 1;
}

/* The number of elements that fit. */
static uint64_t
capacity(const struct minivmm_field *row, const void *base)
{
	if (row->flags & MINIVMM_POINTER)
		return elements(row, base) ? current_count(row, base) : 0;
	return row->count ? row->count : 1;
}

void
fields_save(const struct minivmm_field *rows, const void *base, struct record_writer *writer)
{
	for (const struct minivmm_field *row = rows; row->name; row++) {
		uint64_t count = current_count(row, base);

		if (count > capacity(row, base)) /* the owner's bug; do not read past the array */
			writer->failed = true;
		else
			record_put(writer, row->name, (enum record_type)row->type,
				   elements(row, base), count, is_array(row));
	}
}

size_t
fields_size(const struct minivmm_field *rows, const void *base)
{
	size_t sum = 0;

	for (const struct minivmm_field *row = rows; row->name; row++)
		sum += RECORD_HEADER(strlen(row->name)) + capacity(row, base) * width_of(row->type);
	return sum;
}

static uint64_t
row_max(const struct minivmm_field *row)
{
	uint64_t max = type_max(row->type);

	return row->max && row->max < max ? row->max : max;
}

const struct minivmm_field *
fields_find_invalid(const struct minivmm_field *rows, const void *base, uint64_t *value)
{
	for (const struct minivmm_field *row = rows; row->name; row++) {
		uint64_t count = current_count(row, base), room = capacity(row, base), above;
		const uint8_t *at = elements(row, base);

		*value = count;
		if (count > room)
			return row;
		above = record_find_above((enum record_type)row->type, at, count, row_max(row));
		if (above == count)
			continue;
		*value = get_number(at + above * width_of(row->type), 0, row->type);
		return row;
	}
	return NULL;
}

struct loading {
	const struct minivmm_field *rows;
	const void *base;
	const struct record *group;
	struct why *why;
};

static int
check_count(const struct loading *l, const struct minivmm_field *row, const struct record *item)
{
	bool pointer = row->flags & MINIVMM_POINTER, exact = !row->counter_type || pointer;
	uint64_t room = exact ? current_count(row, l->base) : capacity(row, l->base);

	if (pointer && room && !elements(row, l->base))
		return why_set(l->why, "%s cannot be loaded: its array is not allocated",
			       row->name);
	if (exact ? item->count != room : item->count > room)
		return why_set(l->why, "%s has %" PRIu32 " elements, expected %s%" PRIu64,
			       row->name, item->count, exact ? "" : "at most ", room);
	if (row->counter_type && item->count > type_max(row->counter_type))
		return why_set(l->why,
			       "%s has %" PRIu32 " elements, more than its counter can hold",
			       row->name, item->count);
	return 0;
}

/*
 * Stores in *value the value that a load of row gives to the counter at offset counter. Returns
 * false if row does not set that counter.
 */
static bool
counter_after_load(const struct loading *l, const struct minivmm_field *row, uint32_t counter,
		   uint64_t *value)
{
	struct record item;

	if (row->counter_type ? row->counter_offset != counter
			      : row->offset != counter || row->count)
		return false;
	if (record_find(l->group, row->name, &item))
		*value = row->counter_type ? item.count : record_number(&item, 0);
	else if (row->flags & MINIVMM_POINTER)
		*value = current_count(row, l->base);
	else
		*value = row->counter_type ? 0 : row->initial;
	return true;
}

/* All rows that set the same counter must agree, including the counter's own row. */
static int
check_counter(const struct loading *l, const struct minivmm_field *row)
{
	uint64_t value, other_value;

	if (!row->counter_type || !counter_after_load(l, row, row->counter_offset, &value))
		return 0;
	for (const struct minivmm_field *other = l->rows; other->name; other++)
		if (counter_after_load(l, other, row->counter_offset, &other_value) &&
		    other_value != value)
			return why_set(l->why, "%s has %" PRIu64 " elements, but %s says %" PRIu64,
				       row->name, value, other->name, other_value);
	return 0;
}

static int
check_item(const struct loading *l, const struct minivmm_field *row, const struct record *item)
{
	uint64_t max = row_max(row);
	uint32_t above;

	if (item->type != row->type || item->array != is_array(row))
		return why_set(l->why, "%s has the wrong type", row->name);
	if (check_count(l, row, item))
		return -1;
	above =
	    (uint32_t)record_find_above((enum record_type)item->type, item->data, item->count, max);
	if (above < item->count)
		return why_set(l->why, "%s is 0x%" PRIx64 ", at most 0x%" PRIx64 " is allowed",
			       row->name, record_number(item, above), max);
	return 0;
}

static int
check(const struct loading *l, uint32_t version)
{
	const struct minivmm_field *row;
	struct record item;
	size_t position = 0, after = 0;

	for (row = l->rows; row->name; row++) {
		if (record_find_from(l->group, &after, row->name, &item)) {
			if (check_item(l, row, &item))
				return -1;
		} else if (row->since <= version) {
			return why_set(l->why, "%s is missing", row->name);
		}
	}
	/* Only after each item matches its row: counter_after_load() relies on their types. */
	for (row = l->rows; row->name; row++)
		if (check_counter(l, row))
			return -1;
	row = l->rows;
	while (record_next(l->group, &position, &item)) {
		/* Items are usually in the order of the rows. */
		if (row->name && record_is(&item, row->name)) {
			row++;
			continue;
		}
		for (row = l->rows; row->name && !record_is(&item, row->name);)
			row++;
		if (!row->name)
			return why_set(l->why, "%.*s is unknown", item.name_length, item.name);
		row++;
	}
	return 0;
}

int
fields_check(const struct minivmm_field *rows, const void *base, const struct record *group,
	     uint32_t version, struct why *why)
{
	return check(&(struct loading){ .rows = rows, .base = base, .group = group, .why = why },
		     version);
}

static void
reset(const struct minivmm_field *row, void *base)
{
	size_t width = width_of(row->type), length = capacity(row, base) * width, done = width;
	char *to = elements(row, base);

	if (length)
		memcpy(to, &row->initial, width);
	for (size_t n; done < length; done += n) { /* each step doubles what is there */
		n = done < length - done ? done : length - done;
		memcpy(to + done, to, n);
	}
	if (row->counter_type && !(row->flags & MINIVMM_POINTER))
		set_number(base, row->counter_offset, row->counter_type, 0);
}

int
fields_load(const struct minivmm_field *rows, void *base, const struct record *group,
	    uint32_t version, struct why *why)
{
	struct record item;
	size_t after = 0;

	if (fields_check(rows, base, group, version, why))
		return -1;
	for (const struct minivmm_field *row = rows; row->name; row++) {
		if (!record_find_from(group, &after, row->name, &item)) {
			reset(row, base);
			continue;
		}
		if (mutant("field", row->name))
			continue;
		if (item.count)
			memcpy(elements(row, base), item.data, item.count * width_of(row->type));
		if (row->counter_type)
			set_number(base, row->counter_offset, row->counter_type, item.count);
	}
	return 0;
}

void
fields_reset(const struct minivmm_field *rows, void *base)
{
	for (const struct minivmm_field *row = rows; row->name; row++)
		reset(row, base);
}
