/* SPDX-License-Identifier: BSD-2-Clause */
/* Validates the descriptor and most of its tables, and collects all options that a user can set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/record.h"
#include "base/text.h"
#include "machine/irq.h"
#include "plugin/adopt.h"

#define STATE_MAX ((size_t)256 << 20) /* bytes of a plugin's struct */

int
adopt_flags(struct adoption *a, const char *kind, const char *name, uint32_t flags, uint32_t known)
{
	return flags & ~known
		   ? why_set(a->why,
			     "it needs a newer minivmm: %s%s has the unknown flags 0x%x; "
			     "update minivmm",
			     kind, name, flags & ~known)
		   : 0;
}

int
adopt_name(struct adoption *a, const char *kind, const char *name)
{
	return record_name(name) ? 0
				 : why_set(a->why,
					   "%s name '%.64s' is invalid: use 1 to 255 characters "
					   "without blanks, '\"', '\\' and '='",
					   kind, name);
}

bool
adopt_fits(const struct plugin *plugin, uint64_t offset, uint64_t length)
{
	return offset <= plugin->descriptor.state_size &&
	       length <= plugin->descriptor.state_size - offset;
}

size_t
adopt_member_size(uint32_t type)
{
	switch (type) {
	case MINIVMM_BOOL:
		return sizeof(bool);
	case MINIVMM_U8:
		return 1;
	case MINIVMM_U16:
	case MINIVMM_PORT:
		return 2;
	case MINIVMM_U32:
	case MINIVMM_ENUM:
	case MINIVMM_IRQ:
		return 4;
	case MINIVMM_U64:
	case MINIVMM_SIZE:
	case MINIVMM_ADDRESS:
	case MINIVMM_DURATION:
	case MINIVMM_STRING:
	case MINIVMM_PATH:
		return 8;
	default:
		return 0;
	}
}

/* Checks the initial value of an option that is no number. */
static int
check_word(struct adoption *a, const struct minivmm_option *row)
{
	bool known = true, truth;
	uint64_t line;

	if (!row->initial)
		return 0;
	if (row->type == MINIVMM_BOOL)
		known = !parse_bool(row->initial, &truth, NULL);
	if (row->type == MINIVMM_IRQ && strcmp(row->initial, "none") != 0)
		known = !parse_u64(row->initial, &line, NULL) && line < IRQ_LINES;
	if (row->type == MINIVMM_ENUM)
		known = false;
	for (uint32_t i = 0; row->type == MINIVMM_ENUM && row->values[i]; i++)
		known |= !strcmp(row->values[i], row->initial);
	if (!known)
		return why_set(a->why, "option %s: initial = %s is not one of its values",
			       row->name, row->initial);
	return 0;
}

/* Checks the limits of a number and its initial value. */
static int
check_number(struct adoption *a, const struct minivmm_option *row)
{
	uint64_t limit = plugin_type_max(row->type), value;
	uint64_t max = row->max && row->max < limit ? row->max : limit;
	char low[24], high[24];
	struct why why;

	if (row->min > max)
		return why_set(a->why, "option %s: min 0x%llx is above its maximum, 0x%llx",
			       row->name, (unsigned long long)row->min, (unsigned long long)max);
	if (!row->initial)
		return 0;
	if (row->type == MINIVMM_SIZE       ? parse_size(row->initial, &value, &why)
	    : row->type == MINIVMM_DURATION ? parse_duration(row->initial, &value, &why)
					    : parse_u64(row->initial, &value, &why))
		return why_set(a->why, "option %s: initial = %s %s", row->name, row->initial,
			       why.text);
	if (value < row->min || value > max)
		return why_set(a->why, "option %s: initial = %s is out of range, %s to %s",
			       row->name, row->initial,
			       plugin_value(row, row->min, low, sizeof(low)),
			       plugin_value(row, max, high, sizeof(high)));
	return 0;
}

static int
check_value(struct adoption *a, const struct minivmm_option *row)
{
	switch (row->type) {
	case MINIVMM_BOOL:
	case MINIVMM_ENUM:
	case MINIVMM_STRING:
	case MINIVMM_PATH:
	case MINIVMM_IRQ:
		return check_word(a, row);
	default:
		return check_number(a, row);
	}
}

int
adopt_option(struct adoption *a, const char *table, uint32_t index, struct minivmm_option row,
	     bool required)
{
	struct plugin *plugin = a->plugin;
	struct plugin_option *all;

	if (adopt_name(a, "option", row.name))
		return -1;
	for (size_t i = 0; i < plugin->all_count; i++)
		if (!strcmp(plugin->all[i].row.name, row.name))
			return why_set(a->why, "%s[%u] defines a second option named %s", table,
				       index, row.name);
	if (row.type != PLUGIN_STREAM && row.type != PLUGIN_SLOT && check_value(a, &row))
		return -1;
	if (!strcmp(row.name, "plugin"))
		return why_set(a->why,
			       "%s[%u] defines an option named plugin: this key is reserved", table,
			       index);
	all = realloc(plugin->all, (plugin->all_count + 1) * sizeof(*all));
	if (!all)
		return why_no_memory(a->why);
	plugin->all = all;
	all[plugin->all_count++] = (struct plugin_option){ .row = row, .required = required };
	return 0;
}

/* Checks that no option before this one has a part of its member. */
static int
check_member(struct adoption *a, uint32_t index)
{
	const struct minivmm_option *rows = a->plugin->descriptor.options, *row = &rows[index];

	for (uint32_t i = 0; i < index; i++)
		if (row->offset < rows[i].offset + adopt_member_size(rows[i].type) &&
		    rows[i].offset < row->offset + adopt_member_size(row->type))
			return why_set(a->why, "option %s overlaps the member of option %s",
				       row->name, rows[i].name);
	return 0;
}

static int
check_options(struct adoption *a)
{
	int r = 0;

	for (uint32_t i = 0; i < a->plugin->option_count && !r; i++) {
		const struct minivmm_option *row = &a->plugin->descriptor.options[i];

		if (!row->name)
			return why_set(a->why, "options[%u] has no name", i);
		if (!adopt_member_size(row->type))
			return why_set(a->why, "option %s has the unknown type %u", row->name,
				       row->type);
		if (!adopt_fits(a->plugin, row->offset, adopt_member_size(row->type)))
			return why_set(a->why, "option %s lies outside the state", row->name);
		if (row->type == MINIVMM_ENUM && (!row->values || !row->values[0]))
			return why_set(a->why, "option %s is an enum without values", row->name);
		if (check_member(a, i))
			return -1;
		r = adopt_flags(a, "option ", row->name, row->flags,
				MINIVMM_HOST | MINIVMM_EDGE | MINIVMM_ACTIVE_LOW | MINIVMM_UNIQUE |
				    MINIVMM_RAW | MINIVMM_NO_SLOT);
		if (!r)
			r = adopt_option(a, "options", i, *row, !row->initial);
	}
	return r;
}

/* The row of the plugin's options with that name, or NULL. */
static const struct minivmm_option *
own_option(const struct plugin *plugin, const char *name)
{
	for (uint32_t i = 0; i < plugin->option_count; i++)
		if (!strcmp(plugin->descriptor.options[i].name, name))
			return &plugin->descriptor.options[i];
	return NULL;
}

static int
check_length(struct adoption *a, uint32_t i)
{
	const struct minivmm_range *row = &a->plugin->descriptor.ranges[i];
	const struct minivmm_option *option;

	if (!row->length_option && !row->length)
		return why_set(a->why, "range %s has no length", plugin_range_name(a->plugin, i));
	for (uint32_t width = 1; !row->length_option && width <= 8; width *= 2)
		if (row->widths & width && width > row->length)
			return why_set(a->why, "range %s of %llu bytes has accesses of %u bytes",
				       plugin_range_name(a->plugin, i),
				       (unsigned long long)row->length, width);
	if (!row->length_option)
		return 0;
	option = own_option(a->plugin, row->length_option);
	if (!option)
		return why_set(a->why, "range %s has no length: option %s does not exist",
			       plugin_range_name(a->plugin, i), row->length_option);
	if (option->type > MINIVMM_U64 && option->type != MINIVMM_SIZE)
		return why_set(a->why, "range %s takes its length from %s, which is not a number",
			       plugin_range_name(a->plugin, i), option->name);
	return 0;
}

static int
check_ranges(struct adoption *a)
{
	int r = 0;

	for (uint32_t i = 0; i < a->plugin->range_count && !r; i++) {
		/* The table is a copy: drop const to replace its registers. */
		struct minivmm_range *row =
		    (struct minivmm_range *)&a->plugin->descriptor.ranges[i];

		if (row->space != MINIVMM_PIO && row->space != MINIVMM_MMIO)
			return why_set(a->why, "ranges[%u] has the unknown space %u", i,
				       row->space);
		if (!row->at && !plugin_has_bar(a->plugin, i))
			return why_set(
			    a->why,
			    "ranges[%u] has neither .at, the option for its address, nor "
			    "a BAR",
			    i);
		if (row->widths & ~15u)
			return why_set(a->why, "range %s has unknown widths 0x%x",
				       plugin_range_name(a->plugin, i), row->widths);
		r = adopt_flags(a, "range ", plugin_range_name(a->plugin, i), row->flags,
				MINIVMM_OPTIONAL | MINIVMM_NO_SLOT);
		if (!r)
			r = check_length(a, i);
		if (!r)
			r = adopt_table(a, "registers", (const void **)&row->registers,
					a->register_size, sizeof(struct minivmm_register), NULL);
		if (!r && row->at)
			r = adopt_option(
			    a, "ranges", i,
			    (struct minivmm_option){
				.name = row->at,
				.type = row->space == MINIVMM_PIO ? MINIVMM_PORT : MINIVMM_ADDRESS,
				.offset = PLUGIN_NO_MEMBER,
				.initial = row->at_initial,
				.flags = row->flags & MINIVMM_NO_SLOT,
				.help = row->help },
			    !row->at_initial && !(row->flags & MINIVMM_OPTIONAL) &&
				!plugin_has_bar(a->plugin, i));
	}
	return r;
}

/* Adds the options of streams: output, input and wait_INPUT. */
static int
check_streams(struct adoption *a)
{
	int r = 0;

	for (uint32_t i = 0; i < a->plugin->stream_count && !r; i++) {
		const struct minivmm_stream *row = &a->plugin->descriptor.streams[i];
		struct minivmm_option option = { .type = PLUGIN_STREAM,
						 .offset = PLUGIN_NO_MEMBER,
						 .flags = MINIVMM_HOST,
						 .help = row->help };
		char *wait;

		if (!row->name || (!row->output && !row->input))
			return why_set(a->why,
				       "streams[%u] has no name, or neither output nor input", i);
		if (adopt_name(a, "stream", row->name))
			return -1;
		if (row->output) {
			option.name = row->output;
			option.initial = row->output_initial ? row->output_initial : "none";
			r = adopt_option(a, "streams", i, option, false);
		}
		if (!row->input || r)
			continue;
		wait = adopt_keep(a->plugin, strlen(row->input) + sizeof("wait_"));
		if (!wait)
			return why_no_memory(a->why);
		sprintf(wait, "wait_%s", row->input);
		option.name = row->input;
		option.initial = row->input_initial;
		r = adopt_option(a, "streams", i, option, false);
		if (!r)
			r = adopt_option(a, "streams", i,
					 (struct minivmm_option){
					     .name = wait,
					     .type = MINIVMM_BOOL,
					     .offset = PLUGIN_NO_MEMBER,
					     .initial = "no",
					     .help = "wait for input before the first start" },
					 false);
	}
	return r;
}

static int
check_callbacks(struct adoption *a)
{
	const struct minivmm_plugin *d = &a->plugin->descriptor;

	for (uint32_t i = 0; i < a->plugin->timer_count; i++)
		if (!d->timers[i].name || !d->timers[i].fire)
			return why_set(a->why, "timers[%u] has no name or no fire", i);
		else if (adopt_name(a, "timer", d->timers[i].name))
			return -1;
	for (uint32_t i = 0; i < a->plugin->watch_count; i++)
		if (!d->watches[i].name || !d->watches[i].ready)
			return why_set(a->why, "watches[%u] has no name or no ready", i);
	for (uint32_t i = 0; i < a->plugin->post_count; i++)
		if (!d->posts[i].name || !d->posts[i].run)
			return why_set(a->why, "posts[%u] has no name or no run", i);
	if (!d->save != !d->load)
		return why_set(a->why, "it has only one of save and load; define both");
	return 0;
}

/* Names in a table must be unique, since snapshots and messages use them. Each row begins with its
 * name. */
static int
check_names(struct adoption *a, const char *table, const void *rows, size_t size, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		const char *name = *(const char *const *)((const char *)rows + i * size);

		for (uint32_t j = 0; j < i; j++)
			if (!strcmp(name, *(const char *const *)((const char *)rows + j * size)))
				return why_set(a->why, "%s[%u] and %s[%u] have the same name, %s",
					       table, i, table, j, name);
	}
	return 0;
}

static int
check_all_names(struct adoption *a)
{
	const struct minivmm_plugin *d = &a->plugin->descriptor;
	int r = 0;

#define NAMES(table, count)                                                                        \
	if (!r)                                                                                    \
	r = check_names(a, #table, d->table, sizeof(*d->table), a->plugin->count)
	NAMES(timers, timer_count);
	NAMES(streams, stream_count);
	NAMES(watches, watch_count);
	NAMES(posts, post_count);
	NAMES(fields, field_count);
#undef NAMES
	return r;
}

int
adopt_validate(struct adoption *a)
{
	const struct minivmm_plugin *d = &a->plugin->descriptor;

	if (!d->name || !*d->name || !d->summary || !d->state_version)
		return why_set(a->why, "its descriptor lacks a name, a summary or a state_version");
	if (d->state_size > STATE_MAX)
		return why_set(a->why,
			       "its state_size is %zu, above %zu: allocate such memory in "
			       "configure",
			       d->state_size, STATE_MAX);
	return adopt_flags(a, "the descriptor", "", d->flags,
			   MINIVMM_CONCURRENT | MINIVMM_UNPARKED) ||
		       check_options(a) || check_ranges(a) || check_streams(a) || adopt_fields(a) ||
		       adopt_acpi(a) || adopt_pci(a) || check_callbacks(a) || check_all_names(a) ||
		       adopt_tool(a)
		   ? -1
		   : 0;
}
