/* SPDX-License-Identifier: BSD-2-Clause */
/* Validates the copied tables of a plugin, and collects all options that a user can set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/record.h"
#include "plugin/adopt.h"

/* An unknown flag means that the plugin uses a newer feature, like a non-zero unknown member. */
static int
check_flags(struct adoption *a, const char *kind, const char *name, uint32_t flags, uint32_t known)
{
	return flags & ~known
		   ? why_set(a->why,
			     "it needs a newer minivmm: %s%s has the unknown flags 0x%x; "
			     "update minivmm",
			     kind, name, flags & ~known)
		   : 0;
}

/* Names of rows become names of items in snapshots: an invalid name must fail here, not at the
 * first snapshot. */
static int
check_name(struct adoption *a, const char *kind, const char *name)
{
	return record_name(name) ? 0
				 : why_set(a->why,
					   "%s name '%.64s' is invalid: use 1 to 255 characters "
					   "without blanks, '\"', '\\' and '='",
					   kind, name);
}

static bool
fits(const struct plugin *plugin, uint64_t offset, uint64_t length)
{
	return offset <= plugin->descriptor.state_size &&
	       length <= plugin->descriptor.state_size - offset;
}

static size_t
member_size(uint32_t type)
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

static int
add_option(struct adoption *a, const char *table, uint32_t index, struct minivmm_option row,
	   bool required)
{
	struct plugin *plugin = a->plugin;
	struct plugin_option *all;

	if (check_name(a, "option", row.name))
		return -1;
	for (size_t i = 0; i < plugin->all_count; i++)
		if (!strcmp(plugin->all[i].row.name, row.name))
			return why_set(a->why, "%s[%u] defines a second option named %s", table,
				       index, row.name);
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

static int
check_options(struct adoption *a)
{
	int r = 0;

	for (uint32_t i = 0; i < a->plugin->option_count && !r; i++) {
		const struct minivmm_option *row = &a->plugin->descriptor.options[i];

		if (!row->name)
			return why_set(a->why, "options[%u] has no name", i);
		if (!member_size(row->type))
			return why_set(a->why, "option %s has the unknown type %u", row->name,
				       row->type);
		if (!fits(a->plugin, row->offset, member_size(row->type)))
			return why_set(a->why, "option %s lies outside the state", row->name);
		if (row->type == MINIVMM_ENUM && (!row->values || !row->values[0]))
			return why_set(a->why, "option %s is an enum without values", row->name);
		r = check_flags(a, "option ", row->name, row->flags,
				MINIVMM_HOST | MINIVMM_EDGE | MINIVMM_ACTIVE_LOW);
		if (!r)
			r = add_option(a, "options", i, *row, !row->initial);
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
check_length(struct adoption *a, const struct minivmm_range *row)
{
	const struct minivmm_option *option;

	if (!row->length_option)
		return row->length ? 0 : why_set(a->why, "range %s has no length", row->at);
	option = own_option(a->plugin, row->length_option);
	if (!option)
		return why_set(a->why, "range %s has no length: option %s does not exist", row->at,
			       row->length_option);
	if (option->type > MINIVMM_U64 && option->type != MINIVMM_SIZE)
		return why_set(a->why, "range %s takes its length from %s, which is not a number",
			       row->at, option->name);
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
		if (!row->at)
			return why_set(a->why, "ranges[%u] has no .at, the option for its address",
				       i);
		if (row->widths & ~15u)
			return why_set(a->why, "range %s has unknown widths 0x%x", row->at,
				       row->widths);
		r = check_flags(a, "range ", row->at, row->flags, MINIVMM_OPTIONAL);
		if (!r)
			r = check_length(a, row);
		if (!r)
			r = adopt_table(a, "registers", (const void **)&row->registers,
					a->register_size, sizeof(struct minivmm_register), NULL);
		if (!r)
			r = add_option(a, "ranges", i,
				       (struct minivmm_option){ .name = row->at,
								.type = row->space == MINIVMM_PIO
									    ? MINIVMM_PORT
									    : MINIVMM_ADDRESS,
								.offset = PLUGIN_NO_MEMBER,
								.initial = row->at_initial,
								.help = row->help },
				       !row->at_initial && !(row->flags & MINIVMM_OPTIONAL));
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
		if (check_name(a, "stream", row->name))
			return -1;
		if (row->output) {
			option.name = row->output;
			option.initial = row->output_initial ? row->output_initial : "none";
			r = add_option(a, "streams", i, option, false);
		}
		if (!row->input || r)
			continue;
		wait = adopt_keep(a->plugin, strlen(row->input) + sizeof("wait_"));
		if (!wait)
			return why_no_memory(a->why);
		sprintf(wait, "wait_%s", row->input);
		option.name = row->input;
		option.initial = row->input_initial;
		r = add_option(a, "streams", i, option, false);
		if (!r)
			r = add_option(a, "streams", i,
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

/* An option whose member overlaps this part of the state, or NULL. */
static const struct minivmm_option *
option_in(const struct plugin *plugin, uint64_t offset, uint64_t length)
{
	for (uint32_t i = 0; i < plugin->option_count; i++) {
		const struct minivmm_option *o = &plugin->descriptor.options[i];

		if (o->offset != PLUGIN_NO_MEMBER && o->offset < offset + length &&
		    offset < o->offset + member_size(o->type))
			return o;
	}
	return NULL;
}

static int
check_fields(struct adoption *a)
{
	const struct minivmm_option *option;
	int r = 0;

	for (uint32_t i = 0; i < a->plugin->field_count && !r; i++) {
		const struct minivmm_field *row = &a->plugin->descriptor.fields[i];
		size_t width;

		if (!row->name || row->type < MINIVMM_U8 || row->type > MINIVMM_BOOL)
			return why_set(a->why, "fields[%u] has no name or no valid type", i);
		if (check_name(a, "field", row->name))
			return -1;
		width = record_width((enum record_type)row->type);
		if (row->flags & MINIVMM_POINTER
			? !fits(a->plugin, row->offset, sizeof(void *)) || !row->counter_type
			: !fits(a->plugin, row->offset, (row->count ? row->count : 1) * width))
			return why_set(a->why, "field %s lies outside the state", row->name);
		if (row->counter_type > MINIVMM_U64 ||
		    !fits(a->plugin, row->counter_offset, member_size(row->counter_type)))
			return why_set(a->why, "field %s has a counter outside the state",
				       row->name);
		option =
		    option_in(a->plugin, row->offset,
			      row->flags & MINIVMM_POINTER ? sizeof(void *)
							   : (row->count ? row->count : 1) * width);
		if (option)
			return why_set(
			    a->why,
			    "field %s overlaps the member of option %s and would overwrite it with "
			    "the field's initial value; use another member",
			    row->name, option->name);
		r = check_flags(a, "field ", row->name, row->flags,
				MINIVMM_POINTER | MINIVMM_FREE_RUNNING);
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
		else if (check_name(a, "timer", d->timers[i].name))
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

static bool
is_irq(const struct adoption *a, const char *name)
{
	for (uint32_t i = 0; i < a->plugin->option_count; i++)
		if (!strcmp(a->plugin->descriptor.options[i].name, name))
			return a->plugin->descriptor.options[i].type == MINIVMM_IRQ;
	return false;
}

/* True for an ACPI name segment (ACPI 6.5, section 20.2.2). */
static bool
is_segment(const char *name)
{
	for (int i = 0; i < 4; i++)
		if ((name[i] < 'A' || name[i] > 'Z') && name[i] != '_' &&
		    (!i || name[i] < '0' || name[i] > '9'))
			return false;
	return !name[4];
}

static int
check_acpi(struct adoption *a)
{
	const struct minivmm_acpi *rows = a->plugin->descriptor.acpi;

	for (uint32_t i = 0; i < a->plugin->acpi_count; i++) {
		if (rows[i].role > MINIVMM_ACPI_CLOCK)
			return why_set(
			    a->why,
			    "it needs a newer minivmm: acpi[%u] has the unknown role %u; "
			    "update minivmm",
			    i, rows[i].role);
		if (!rows[i].hid && (rows[i].cid || !rows[i].role))
			return why_set(a->why, "acpi[%u] has no hid", i);
		if (rows[i].only && !is_irq(a, rows[i].only))
			return why_set(a->why, "acpi[%u]: only = %s is not an option of type irq",
				       i, rows[i].only);
		if (rows[i].page && !is_segment(rows[i].page))
			return why_set(a->why,
				       "acpi[%u]: page = %s is not an ACPI name of four characters",
				       i, rows[i].page);
		if (rows[i].aml_length && !rows[i].aml)
			return why_set(a->why, "acpi[%u] has aml_length but no aml", i);
	}
	return 0;
}

int
adopt_validate(struct adoption *a)
{
	const struct minivmm_plugin *d = &a->plugin->descriptor;

	if (!d->name || !d->summary || !d->state_version)
		return why_set(a->why, "its descriptor lacks a name, a summary or a state_version");
	return check_flags(a, "the descriptor", "", d->flags, MINIVMM_CONCURRENT) ||
		       check_options(a) || check_ranges(a) || check_streams(a) || check_fields(a) ||
		       check_acpi(a) || check_callbacks(a) || check_all_names(a)
		   ? -1
		   : 0;
}
