/* SPDX-License-Identifier: BSD-2-Clause */
/* The items of a group sorted by name, for many lookups in a group that a file provides. */
#include <stdlib.h>
#include <string.h>

#include "base/record.h"

/* An item begins with its type, the length of its name and the name. Orders by length first. */
static int
compare(const uint8_t *item, const char *name, size_t length)
{
	return item[1] != length ? (item[1] < length ? -1 : 1) : memcmp(item + 2, name, length);
}

static int
by_name(const void *a, const void *b)
{
	const uint8_t *x = *(const uint8_t *const *)a, *y = *(const uint8_t *const *)b;

	return compare(x, (const char *)y + 2, y[1]);
}

int
record_index_open(struct record_index *index, const struct record *group)
{
	size_t position = 0, begin = 0;
	struct record item;

	*index = (struct record_index){ .group = *group };
	index->items = malloc((record_elements(group) + 1) * sizeof(*index->items));
	if (!index->items)
		return -1;
	for (; record_next(group, &position, &item); begin = position)
		index->items[index->count++] = group->data + begin;
	qsort(index->items, index->count, sizeof(*index->items), by_name);
	return 0;
}

void
record_index_free(struct record_index *index)
{
	free(index->items);
	*index = (struct record_index){ .count = 0 };
}

bool
record_index_find(const struct record_index *index, const char *name, size_t length,
		  struct record *item)
{
	size_t low = 0, high = index->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(index->items[middle], name, length);
		size_t position = (size_t)(index->items[middle] - index->group.data);

		if (!order)
			return record_next(&index->group, &position, item);
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

bool
record_index_duplicate(const struct record_index *index)
{
	for (size_t i = 1; i < index->count; i++)
		if (!by_name(&index->items[i - 1], &index->items[i]))
			return true;
	return false;
}
