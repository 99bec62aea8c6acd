/* SPDX-License-Identifier: BSD-2-Clause */
/* Finds items of a group by name: sorted, or in the order in which they are usually asked for. */
#include <stdlib.h>
#include <string.h>

#include "base/record.h"

#define SEARCHED_MAX 64u /* items that lookups pass in vain before they sort the group */

/* An item begins with its type, the length of its name and the name. Orders by length first. */
static int
compare(const uint8_t *item, const char *name, size_t length)
{
	return item[1] != length ? (item[1] < length ? -1 : 1) : memcmp(item + 2, name, length);
}

static const uint8_t *
item_of(const struct record_index *index, size_t i)
{
	return index->group.data + index->items[i].position;
}

static int
by_name(const void *a, const void *b, void *data)
{
	const struct record_index_item *x = a, *y = b;
	const uint8_t *other = (const uint8_t *)data + y->position;

	return compare((const uint8_t *)data + x->position, (const char *)other + 2, other[1]);
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
	for (; record_next(group, &position, &item); begin = position, index->count++)
		index->items[index->count] =
		    (struct record_index_item){ (uint32_t)begin, (uint32_t)index->count };
	qsort_r(index->items, index->count, sizeof(*index->items), by_name, (void *)group->data);
	return 0;
}

void
record_index_free(struct record_index *index)
{
	free(index->items);
	*index = (struct record_index){ .count = 0 };
}

/* Returns the place of the item in the index, or NULL. */
static const struct record_index_item *
find(const struct record_index *index, const char *name, size_t length)
{
	size_t low = 0, high = index->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(item_of(index, middle), name, length);

		if (!order)
			return &index->items[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

bool
record_index_find(const struct record_index *index, const char *name, size_t length,
		  struct record *item)
{
	const struct record_index_item *found = find(index, name, length);
	size_t position = found ? found->position : 0;

	return found && record_next(&index->group, &position, item);
}

bool
record_index_duplicate(const struct record_index *index)
{
	for (size_t i = 1; i < index->count; i++)
		if (!by_name(&index->items[i - 1], &index->items[i], (void *)index->group.data))
			return true;
	return false;
}

void
record_lookup_open(struct record_lookup *lookup, const struct record *group)
{
	*lookup = (struct record_lookup){ .group = *group };
}

void
record_lookup_close(struct record_lookup *lookup)
{
	record_index_free(&lookup->index);
}

/* Reads the item at a position. Returns whether it has the name; *position is behind it. */
static bool
is_at(const struct record_lookup *lookup, size_t *position, const char *name, size_t length,
      struct record *item)
{
	return record_next(&lookup->group, position, item) && item->name_length == length &&
	       !memcmp(item->name, name, length);
}

static bool
found(struct record_lookup *lookup, size_t next, uint32_t number)
{
	lookup->next = next;
	lookup->count = number + 1;
	return true;
}

/* From there to the end, then from the beginning. Sorts the group if that takes many steps. */
static bool
search(struct record_lookup *lookup, const char *name, size_t length, struct record *item)
{
	size_t position = lookup->next;
	uint32_t number = lookup->count;

	for (unsigned round = 0; round < 2; round++, position = number = 0)
		for (; position < lookup->group.count; number++) {
			if (is_at(lookup, &position, name, length, item))
				return found(lookup, position, number);
			if (++lookup->passed == SEARCHED_MAX &&
			    !record_index_open(&lookup->index, &lookup->group))
				return record_lookup_find(lookup, name, length, item);
		}
	return false;
}

bool
record_lookup_find(struct record_lookup *lookup, const char *name, size_t length,
		   struct record *item)
{
	const struct record_index_item *place;
	size_t next = lookup->next;

	if (is_at(lookup, &next, name, length, item))
		return found(lookup, next, lookup->count);
	if (!lookup->index.items)
		return search(lookup, name, length, item);
	place = find(&lookup->index, name, length);
	next = place ? place->position : 0;
	return place && record_next(&lookup->group, &next, item) &&
	       found(lookup, next, place->number);
}
