/* SPDX-License-Identifier: BSD-2-Clause */
/* Validates the rows of fields: their members, their values, and that no two share a byte. */
#include "base/record.h"
#include "plugin/adopt.h"

/* The bytes of the state that a member takes. */
struct extent {
	uint64_t begin, length;
};

static bool
overlap(struct extent a, struct extent b)
{
	return a.begin < b.begin + b.length && b.begin < a.begin + a.length;
}

static struct extent
extent_of(const struct minivmm_field *row)
{
	uint64_t width = record_width((enum record_type)row->type);

	return (struct extent){ row->offset, row->flags & MINIVMM_POINTER
						 ? sizeof(void *)
						 : (row->count ? row->count : 1) * width };
}

/* An option whose member overlaps this part of the state, or NULL. */
static const struct minivmm_option *
option_in(const struct plugin *plugin, struct extent extent)
{
	for (uint32_t i = 0; i < plugin->option_count; i++) {
		const struct minivmm_option *o = &plugin->descriptor.options[i];

		if (o->offset != PLUGIN_NO_MEMBER &&
		    overlap(extent, (struct extent){ o->offset, adopt_member_size(o->type) }))
			return o;
	}
	return NULL;
}

/* Whether a load would set this member. */
static bool
is_field(const struct plugin *plugin, struct extent extent)
{
	for (uint32_t i = 0; i < plugin->field_count; i++)
		if (overlap(extent, extent_of(&plugin->descriptor.fields[i])))
			return true;
	return false;
}

static struct extent
counter_of(const struct minivmm_field *row)
{
	return (struct extent){ row->counter_offset, adopt_member_size(row->counter_type) };
}

static bool
same(struct extent a, struct extent b)
{
	return a.begin == b.begin && a.length == b.length;
}

/* Checks a counter that a load sets: it is a member of its own, or also a field that is a number,
 * or the counter of another array. Otherwise a load would change an option or a part of another
 * member; of a pointer, for example. */
static int
check_set_counter(struct adoption *a, const struct minivmm_field *row)
{
	const struct plugin *plugin = a->plugin;
	const struct extent counter = counter_of(row);
	const struct minivmm_option *option = option_in(plugin, counter);

	if (option)
		return why_set(a->why,
			       "the counter of field %s overlaps the member of option %s, which a "
			       "load would change; use another member",
			       row->name, option->name);
	for (uint32_t i = 0; i < plugin->field_count; i++) {
		const struct minivmm_field *other = &plugin->descriptor.fields[i];
		bool number = !other->count && !other->counter_type;
		bool pointer = other->flags & MINIVMM_POINTER;

		if ((overlap(counter, extent_of(other)) &&
		     !(number && same(counter, extent_of(other)))) ||
		    (other->counter_type && overlap(counter, counter_of(other)) &&
		     (pointer || !same(counter, counter_of(other)))))
			return why_set(a->why, "the counter of field %s overlaps field %s%s",
				       row->name, other->name,
				       overlap(counter, extent_of(other)) ? "" : "'s counter");
	}
	return 0;
}

/* Checks that the counter is in the state. That of a pointer must be set before a load, together
 * with the memory. */
static int
check_counter(struct adoption *a, const struct minivmm_field *row)
{
	const struct extent counter = counter_of(row);
	const struct minivmm_option *option;

	if (row->counter_type > MINIVMM_U64 ||
	    !adopt_fits(a->plugin, counter.begin, counter.length))
		return why_set(a->why, "field %s has a counter outside the state", row->name);
	if (row->counter_type && overlap(counter, extent_of(row)))
		return why_set(a->why, "field %s contains its own counter", row->name);
	if (!(row->flags & MINIVMM_POINTER))
		return row->counter_type ? check_set_counter(a, row) : 0;
	option = option_in(a->plugin, counter);
	if (option ? option->offset == row->counter_offset &&
			 adopt_member_size(option->type) == counter.length
		   : a->plugin->descriptor.configure && !is_field(a->plugin, counter))
		return 0;
	return why_set(a->why,
		       "the counter of field %s is neither an option nor a member that configure "
		       "can set; a load must find the memory allocated",
		       row->name);
}

/* Checks that a load accepts the initial value, and that the state version covers the row. */
static int
check_values(struct adoption *a, const struct minivmm_field *row)
{
	uint64_t limit = row->type == MINIVMM_BOOL
			     ? 1
			     : UINT64_MAX >> (64 - 8 * record_width((enum record_type)row->type));
	uint64_t max = row->max && row->max < limit ? row->max : limit;

	if (row->initial > max)
		return why_set(a->why, "field %s: initial 0x%llx is above its maximum, 0x%llx",
			       row->name, (unsigned long long)row->initial,
			       (unsigned long long)max);
	if (row->since > a->plugin->descriptor.state_version)
		return why_set(a->why, "field %s: since %u is above state_version %u", row->name,
			       row->since, a->plugin->descriptor.state_version);
	return 0;
}

static int
check_field(struct adoption *a, const struct minivmm_field *row)
{
	const struct extent extent = extent_of(row);
	const struct minivmm_option *option;

	if (!adopt_fits(a->plugin, extent.begin, extent.length) ||
	    (row->flags & MINIVMM_POINTER && !row->counter_type))
		return why_set(a->why, "field %s lies outside the state", row->name);
	option = option_in(a->plugin, extent);
	if (option)
		return why_set(
		    a->why,
		    "field %s overlaps the member of option %s and would overwrite it with the "
		    "field's initial value; use another member",
		    row->name, option->name);
	return check_counter(a, row) || check_values(a, row)
		   ? -1
		   : adopt_flags(a, "field ", row->name, row->flags,
				 MINIVMM_POINTER | MINIVMM_FREE_RUNNING);
}

const char *
adopt_user(const struct plugin *plugin, uint64_t offset, uint64_t length, const char **kind)
{
	const struct extent extent = { offset, length };
	const struct minivmm_option *option = option_in(plugin, extent);

	*kind = option ? "option" : "field";
	for (uint32_t i = 0; i < plugin->field_count && !option; i++) {
		const struct minivmm_field *row = &plugin->descriptor.fields[i];

		if (overlap(extent, extent_of(row)) ||
		    (row->counter_type && overlap(extent, counter_of(row))))
			return row->name;
	}
	return option ? option->name : NULL;
}

int
adopt_fields(struct adoption *a)
{
	const struct minivmm_field *rows = a->plugin->descriptor.fields;

	for (uint32_t i = 0; i < a->plugin->field_count; i++) {
		const struct minivmm_field *row = &rows[i];

		if (!row->name || row->type < MINIVMM_U8 || row->type > MINIVMM_BOOL)
			return why_set(a->why, "fields[%u] has no name or no valid type", i);
		if (adopt_name(a, "field", row->name) || check_field(a, row))
			return -1;
		for (uint32_t j = 0; j < i; j++)
			if (overlap(extent_of(row), extent_of(&rows[j])))
				return why_set(a->why, "field %s overlaps field %s", row->name,
					       rows[j].name);
	}
	return 0;
}
