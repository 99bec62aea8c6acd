/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Saves, loads, checks and resets structures by their tables of fields. A load trusts nothing in
 * the group.
 */
#include "base/fields.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
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
	record_known_names(writer, true);
	for (const struct minivmm_field *row = rows; row->name; row++) {
		uint64_t count = current_count(row, base);

		if (count > capacity(row, base)) /* the owner's bug; do not read past the array */
			writer->failed = true;
		else
			record_put(writer, row->name, (enum record_type)row->type,
				   elements(row, base), count, is_array(row));
	}
	record_known_names(writer, false);
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
	struct record_lookup items;
	struct why *why;
	bool part; /* the group has other items, too */
};

static bool
find(struct loading *l, const struct minivmm_field *row, struct record *item)
{
	return record_lookup_find(&l->items, row->name, strlen(row->name), item);
}

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

/* What the load of a row stores in a counter. */
struct setting {
	uint32_t counter; /* its offset */
	const struct minivmm_field *row;
	uint64_t value;
};

/* Finds what the load of a row stores in a counter, or in a number that can be one; false: in none.
 */
static bool
setting_of(struct loading *l, const struct minivmm_field *row, struct setting *setting)
{
	struct record item;

	if (!row->counter_type && row->count)
		return false;
	setting->row = row;
	setting->counter = row->counter_type ? row->counter_offset : row->offset;
	if (find(l, row, &item))
		setting->value = row->counter_type ? item.count : record_number(&item, 0);
	else if (row->flags & MINIVMM_POINTER)
		setting->value = current_count(row, l->base);
	else
		setting->value = row->counter_type ? 0 : row->initial;
	return true;
}

static int
by_counter(const void *a, const void *b)
{
	const struct setting *x = a, *y = b;

	if (x->counter != y->counter)
		return x->counter < y->counter ? -1 : 1;
	return x->row < y->row ? -1 : x->row > y->row;
}

/* All rows that set the same counter must agree, including the counter's own row. Sorts: any number
 * of arrays can have one counter. */
static int
check_counters(struct loading *l)
{
	size_t rows = 0, counters = 0, count = 0;
	struct setting *settings;
	int r = 0;

	for (const struct minivmm_field *row = l->rows; row->name; row++, rows++)
		counters += row->counter_type != 0;
	if (!counters)
		return 0;
	settings = malloc(rows * sizeof(*settings));
	if (!settings)
		return why_no_memory(l->why);
	for (const struct minivmm_field *row = l->rows; row->name; row++)
		count += setting_of(l, row, &settings[count]);
	qsort(settings, count, sizeof(*settings), by_counter);
	for (size_t i = 1; i < count && !r; i++) {
		const struct setting *a = &settings[i - 1], *b = &settings[i];

		if (a->counter != b->counter || a->value == b->value)
			continue;
		if (!a->row->counter_type) { /* the counter's own row: names the array first */
			a = b;
			b = &settings[i - 1];
		}
		r = why_set(l->why, "%s has %" PRIu64 " elements, but %s says %" PRIu64,
			    a->row->name, a->value, b->row->name, b->value);
	}
	free(settings);
	return r;
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

/* Reports an item that has no row: this program would lose it. There is one. */
static int
fail_unknown(const struct loading *l)
{
	const struct minivmm_field *row = l->rows;
	struct record item = { .name = "" };
	size_t position = 0;

	while (row->name && record_next(&l->items.group, &position, &item))
		for (row = l->rows; row->name && !record_is(&item, row->name);)
			row++;
	return why_set(l->why, "%.*s is unknown", item.name_length, item.name);
}

static int
check(struct loading *l, uint32_t version)
{
	size_t found = 0;
	struct record item;

	for (const struct minivmm_field *row = l->rows; row->name; row++) {
		if (find(l, row, &item)) {
			found++;
			if (check_item(l, row, &item))
				return -1;
		} else if (row->since <= version) {
			return why_set(l->why, "%s is missing", row->name);
		}
	}
	/* Only after each item matches its row: setting_of() relies on their types. */
	if (check_counters(l))
		return -1;
	/* The names of rows are distinct, and so are those of items. */
	return l->part || record_elements(&l->items.group) == found ? 0 : fail_unknown(l);
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

static void
load(struct loading *l, void *base)
{
	struct record item;

	for (const struct minivmm_field *row = l->rows; row->name; row++) {
		if (!find(l, row, &item)) {
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
}

/* to: NULL, or base. */
static int
check_and_load(struct loading *l, const struct record *group, uint32_t version, void *to)
{
	int r;

	record_lookup_open(&l->items, group);
	r = check(l, version);
	if (!r && to)
		load(l, to);
	record_lookup_close(&l->items);
	return r;
}

int
fields_check(const struct minivmm_field *rows, const void *base, const struct record *group,
	     uint32_t version, struct why *why)
{
	return check_and_load(&(struct loading){ .rows = rows, .base = base, .why = why }, group,
			      version, NULL);
}

int
fields_load(const struct minivmm_field *rows, void *base, const struct record *group,
	    uint32_t version, struct why *why)
{
	return check_and_load(&(struct loading){ .rows = rows, .base = base, .why = why }, group,
			      version, base);
}

int
fields_load_part(const struct minivmm_field *rows, void *base, const struct record *group,
		 uint32_t version, struct why *why)
{
	return check_and_load(
	    &(struct loading){ .rows = rows, .base = base, .why = why, .part = true }, group,
	    version, base);
}

void
fields_reset(const struct minivmm_field *rows, void *base)
{
	for (const struct minivmm_field *row = rows; row->name; row++)
		reset(row, base);
}
