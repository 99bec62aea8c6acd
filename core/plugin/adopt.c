/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Adopting a plugin's tables: rows may be shorter or longer than this host's. What a longer one
 * holds beyond must be zero, which means that the plugin does not use it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/record.h"
#include "plugin/plugin.h"

#define ROWS_MAX 4096u /* a table without an end is found out */

const char plugin_no_memory[] = "no memory";

struct adoption {
	struct plugin *plugin;
	uint32_t register_size; /* the plugin's */
	char *buffer;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static const char *
wrong(struct adoption *a, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(a->buffer, a->size, format, arguments);
	va_end(arguments);
	return a->buffer;
}

static bool
zero(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

/* A flag that this host does not know is a use of something newer, as is a field. */
static const char *
check_flags(struct adoption *a, const char *what, const char *name, uint32_t flags, uint32_t known)
{
	return flags & ~known ? wrong(a,
				      "it is for a newer minivmm: %s%s has the unknown flags 0x%x; "
				      "update minivmm",
				      what, name, flags & ~known)
			      : NULL;
}

/* What a snapshot names something by must be a name there: the time to say so is now. */
static const char *
check_name(struct adoption *a, const char *what, const char *name)
{
	return record_name(name) ? NULL
				 : wrong(a,
					 "%s '%.64s' can't be called so: use 1 to 255 characters "
					 "without blanks, '\"', '\\' and '='",
					 what, name);
}

/* Memory that lives as long as the plugin. */
static void *
keep(struct plugin *plugin, size_t size)
{
	void **copies = realloc(plugin->copies, (plugin->copy_count + 1) * sizeof(*copies));

	if (!copies)
		return NULL;
	plugin->copies = copies;
	copies[plugin->copy_count] = calloc(1, size);
	return copies[plugin->copy_count] ? copies[plugin->copy_count++] : NULL;
}

/* Copies one struct of the plugin's size into one of ours. */
static const char *
copy(struct adoption *a, const char *what, const void *theirs, uint32_t their_size, void *ours,
     size_t our_size)
{
	size_t common = their_size < our_size ? their_size : our_size;

	memcpy(ours, theirs, common);
	for (size_t i = our_size; i < their_size; i++)
		if (((const uint8_t *)theirs)[i])
			return wrong(a,
				     "it is for a newer minivmm: %s uses a field at byte %zu, this "
				     "one knows %zu bytes; update minivmm",
				     what, i, our_size);
	return NULL;
}

/* Copies a table, up to its row of zeros. count may be NULL. */
static const char *
copy_table(struct adoption *a, const char *what, const void **table, uint32_t stride, size_t size,
	   uint32_t *count)
{
	const uint8_t *theirs = *table;
	const char *trouble;
	uint8_t *ours;
	uint32_t rows = 0;
	char name[48];

	if (!theirs)
		return NULL;
	if (stride < 4 || stride > 65536)
		return wrong(a, "its table of %s has rows of %u bytes", what, stride);
	while (!zero(theirs + (size_t)rows * stride, stride))
		if (++rows == ROWS_MAX)
			return wrong(a, "its table of %s has no end; close it with MINIVMM_END",
				     what);
	ours = keep(a->plugin, (rows + 1ul) * size);
	if (!ours)
		return plugin_no_memory;
	for (uint32_t i = 0; i < rows; i++) {
		snprintf(name, sizeof(name), "%s[%u]", what, i);
		trouble = copy(a, name, theirs + (size_t)i * stride, stride, ours + i * size, size);
		if (trouble)
			return trouble;
	}
	*table = ours;
	if (count)
		*count = rows;
	return NULL;
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

static const char *
add_option(struct adoption *a, const char *table, uint32_t index, struct minivmm_option row,
	   bool required)
{
	struct plugin *plugin = a->plugin;
	struct plugin_option *all;

	if (check_name(a, "option", row.name))
		return a->buffer;
	for (size_t i = 0; i < plugin->all_count; i++)
		if (!strcmp(plugin->all[i].row.name, row.name))
			return wrong(a, "%s[%u] makes a second option of the name %s", table, index,
				     row.name);
	if (!strcmp(row.name, "plugin"))
		return wrong(a,
			     "%s[%u] makes an option of the name plugin: that key names the plugin",
			     table, index);
	all = realloc(plugin->all, (plugin->all_count + 1) * sizeof(*all));
	if (!all)
		return plugin_no_memory;
	plugin->all = all;
	all[plugin->all_count++] = (struct plugin_option){ .row = row, .required = required };
	return NULL;
}

static const char *
check_options(struct adoption *a)
{
	const char *trouble = NULL;

	for (uint32_t i = 0; i < a->plugin->option_count && !trouble; i++) {
		const struct minivmm_option *row = &a->plugin->descriptor.options[i];

		if (!row->name)
			return wrong(a, "options[%u] has no name", i);
		if (!member_size(row->type))
			return wrong(a, "option %s has the unknown type %u", row->name, row->type);
		if (!fits(a->plugin, row->offset, member_size(row->type)))
			return wrong(a, "option %s lies outside of its state", row->name);
		if (row->type == MINIVMM_ENUM && (!row->values || !row->values[0]))
			return wrong(a, "option %s is an enum without values", row->name);
		trouble = check_flags(a, "option ", row->name, row->flags,
				      MINIVMM_HOST | MINIVMM_EDGE | MINIVMM_ACTIVE_LOW);
		if (!trouble)
			trouble = add_option(a, "options", i, *row, !row->initial);
	}
	return trouble;
}

/* The plugin's own option of that name, or NULL. */
static const struct minivmm_option *
own_option(const struct plugin *plugin, const char *name)
{
	for (uint32_t i = 0; i < plugin->option_count; i++)
		if (!strcmp(plugin->descriptor.options[i].name, name))
			return &plugin->descriptor.options[i];
	return NULL;
}

static const char *
check_length(struct adoption *a, const struct minivmm_range *row)
{
	const struct minivmm_option *option;

	if (!row->length_option)
		return row->length ? NULL : wrong(a, "range %s has no length", row->at);
	option = own_option(a->plugin, row->length_option);
	if (!option)
		return wrong(a, "range %s has no length: there is no option %s", row->at,
			     row->length_option);
	if (option->type > MINIVMM_U64 && option->type != MINIVMM_SIZE)
		return wrong(a, "range %s takes its length from %s, which is no number", row->at,
			     option->name);
	return NULL;
}

static const char *
check_ranges(struct adoption *a)
{
	const char *trouble = NULL;

	for (uint32_t i = 0; i < a->plugin->range_count && !trouble; i++) {
		/* Its own copy, so it may be changed. */
		struct minivmm_range *row =
		    (struct minivmm_range *)&a->plugin->descriptor.ranges[i];

		if (row->space != MINIVMM_PIO && row->space != MINIVMM_MMIO)
			return wrong(a, "ranges[%u] has the unknown space %u", i, row->space);
		if (!row->at)
			return wrong(a, "ranges[%u] has no option that places it (.at)", i);
		if (row->widths & ~15u)
			return wrong(a, "range %s has unknown widths 0x%x", row->at, row->widths);
		trouble = check_flags(a, "range ", row->at, row->flags, MINIVMM_OPTIONAL);
		if (!trouble)
			trouble = check_length(a, row);
		if (!trouble)
			trouble =
			    copy_table(a, "registers", (const void **)&row->registers,
				       a->register_size, sizeof(struct minivmm_register), NULL);
		if (!trouble)
			trouble = add_option(
			    a, "ranges", i,
			    (struct minivmm_option){
				.name = row->at,
				.type = row->space == MINIVMM_PIO ? MINIVMM_PORT : MINIVMM_ADDRESS,
				.offset = PLUGIN_NO_MEMBER,
				.initial = row->at_initial,
				.help = row->help },
			    !row->at_initial && !(row->flags & MINIVMM_OPTIONAL));
	}
	return trouble;
}

/* A stream's options, and the one that has the machine's start wait for input. */
static const char *
check_streams(struct adoption *a)
{
	const char *trouble = NULL;

	for (uint32_t i = 0; i < a->plugin->stream_count && !trouble; i++) {
		const struct minivmm_stream *row = &a->plugin->descriptor.streams[i];
		struct minivmm_option option = { .type = PLUGIN_STREAM,
						 .offset = PLUGIN_NO_MEMBER,
						 .flags = MINIVMM_HOST,
						 .help = row->help };
		char *wait;

		if (!row->name || (!row->output && !row->input))
			return wrong(a, "streams[%u] has no name, or neither output nor input", i);
		if (check_name(a, "stream", row->name))
			return a->buffer;
		if (row->output) {
			option.name = row->output;
			option.initial = row->output_initial ? row->output_initial : "none";
			trouble = add_option(a, "streams", i, option, false);
		}
		if (!row->input || trouble)
			continue;
		wait = keep(a->plugin, strlen(row->input) + sizeof("wait_"));
		if (!wait)
			return plugin_no_memory;
		sprintf(wait, "wait_%s", row->input);
		option.name = row->input;
		option.initial = row->input_initial;
		trouble = add_option(a, "streams", i, option, false);
		if (!trouble)
			trouble = add_option(
			    a, "streams", i,
			    (struct minivmm_option){ .name = wait,
						     .type = MINIVMM_BOOL,
						     .offset = PLUGIN_NO_MEMBER,
						     .initial = "no",
						     .help = "start only when there is input" },
			    false);
	}
	return trouble;
}

/* The option whose member lies in part of the state, or NULL. */
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

static const char *
check_fields(struct adoption *a)
{
	const struct minivmm_option *option;
	const char *trouble = NULL;

	for (uint32_t i = 0; i < a->plugin->field_count && !trouble; i++) {
		const struct minivmm_field *row = &a->plugin->descriptor.fields[i];
		size_t width;

		if (!row->name || row->type < MINIVMM_U8 || row->type > MINIVMM_BOOL)
			return wrong(a, "fields[%u] has no name or no type", i);
		if (check_name(a, "field", row->name))
			return a->buffer;
		width = record_width((enum record_type)row->type);
		if (row->flags & MINIVMM_POINTER
			? !fits(a->plugin, row->offset, sizeof(void *)) || !row->counter_type
			: !fits(a->plugin, row->offset, (row->count ? row->count : 1) * width))
			return wrong(a, "field %s lies outside of its state", row->name);
		if (row->counter_type > MINIVMM_U64 ||
		    !fits(a->plugin, row->counter_offset, member_size(row->counter_type)))
			return wrong(a, "field %s has a counter outside of its state", row->name);
		option =
		    option_in(a->plugin, row->offset,
			      row->flags & MINIVMM_POINTER ? sizeof(void *)
							   : (row->count ? row->count : 1) * width);
		if (option)
			return wrong(
			    a,
			    "field %s is the member of option %s, which it would set to its own "
			    "initial value; give it a member of its own",
			    row->name, option->name);
		trouble = check_flags(a, "field ", row->name, row->flags,
				      MINIVMM_POINTER | MINIVMM_FREE_RUNNING);
	}
	return trouble;
}

static const char *
check_callbacks(struct adoption *a)
{
	const struct minivmm_plugin *d = &a->plugin->descriptor;

	for (uint32_t i = 0; i < a->plugin->timer_count; i++)
		if (!d->timers[i].name || !d->timers[i].fire)
			return wrong(a, "timers[%u] has no name or no fire", i);
		else if (check_name(a, "timer", d->timers[i].name))
			return a->buffer;
	for (uint32_t i = 0; i < a->plugin->watch_count; i++)
		if (!d->watches[i].name || !d->watches[i].ready)
			return wrong(a, "watches[%u] has no name or no ready", i);
	for (uint32_t i = 0; i < a->plugin->post_count; i++)
		if (!d->posts[i].name || !d->posts[i].run)
			return wrong(a, "posts[%u] has no name or no run", i);
	if (!d->save != !d->load)
		return wrong(a, "it has save without load, or load without save");
	return NULL;
}

/* Rows that begin with their names. Two of one name can't be told apart, in a snapshot or a
 * message. */
static const char *
check_names(struct adoption *a, const char *table, const void *rows, size_t size, uint32_t count)
{
	for (uint32_t i = 1; i < count; i++) {
		const char *name = *(const char *const *)((const char *)rows + i * size);

		for (uint32_t j = 0; j < i; j++)
			if (!strcmp(name, *(const char *const *)((const char *)rows + j * size)))
				return wrong(a, "%s[%u] has the name of %s[%u], %s", table, i,
					     table, j, name);
	}
	return NULL;
}

static const char *
check_all_names(struct adoption *a)
{
	const struct minivmm_plugin *d = &a->plugin->descriptor;
	const char *trouble = NULL;

#define NAMES(table, count)                                                                        \
	if (!trouble)                                                                              \
	trouble = check_names(a, #table, d->table, sizeof(*d->table), a->plugin->count)
	NAMES(timers, timer_count);
	NAMES(streams, stream_count);
	NAMES(watches, watch_count);
	NAMES(posts, post_count);
	NAMES(fields, field_count);
#undef NAMES
	return trouble;
}

static bool
is_irq(const struct adoption *a, const char *name)
{
	for (uint32_t i = 0; i < a->plugin->option_count; i++)
		if (!strcmp(a->plugin->descriptor.options[i].name, name))
			return a->plugin->descriptor.options[i].type == MINIVMM_IRQ;
	return false;
}

/* A name segment (ACPI 6.5, section 20.2.2). */
static bool
is_segment(const char *name)
{
	for (int i = 0; i < 4; i++)
		if ((name[i] < 'A' || name[i] > 'Z') && name[i] != '_' &&
		    (!i || name[i] < '0' || name[i] > '9'))
			return false;
	return !name[4];
}

static const char *
check_acpi(struct adoption *a)
{
	const struct minivmm_acpi *rows = a->plugin->descriptor.acpi;

	for (uint32_t i = 0; i < a->plugin->acpi_count; i++) {
		if (rows[i].role > MINIVMM_ACPI_CLOCK)
			return wrong(a,
				     "it is for a newer minivmm: acpi[%u] has the unknown role %u; "
				     "update minivmm",
				     i, rows[i].role);
		if (!rows[i].hid && (rows[i].cid || !rows[i].role))
			return wrong(a, "acpi[%u] has no hid", i);
		if (rows[i].only && !is_irq(a, rows[i].only))
			return wrong(a, "acpi[%u] has only %s, which is no option of type irq", i,
				     rows[i].only);
		if (rows[i].page && !is_segment(rows[i].page))
			return wrong(a, "acpi[%u] has a page %s, which is no name of ACPI's", i,
				     rows[i].page);
		if (rows[i].aml_length && !rows[i].aml)
			return wrong(a, "acpi[%u] has no aml, but a length of it", i);
	}
	return NULL;
}

const char *
plugin_adopt(struct plugin *plugin, const struct minivmm_registration *registration, char *buffer,
	     size_t size)
{
	struct minivmm_registration known = { 0 }, *r = &known;
	struct adoption a = { .plugin = plugin, .buffer = buffer, .size = size };
	struct minivmm_plugin *d = &plugin->descriptor;
	const char *trouble;

	if (registration->abi != MINIVMM_ABI)
		return wrong(&a, "it is built for ABI %u, this minivmm has %u; rebuild it",
			     registration->abi, MINIVMM_ABI);
	/* A longer one tells the sizes of tables that the descriptor may not use: copy() looks. */
	memcpy(r, registration,
	       registration->size < sizeof(known) ? registration->size : sizeof(known));
	if (!r->plugin || r->plugin_size < offsetof(struct minivmm_plugin, options))
		return wrong(&a, "its registration is cut short");
	a.register_size = r->register_size;
	trouble = copy(&a, "the descriptor", r->plugin, r->plugin_size, d, sizeof(*d));
#define TABLE(name, kind)                                                                          \
	if (!trouble)                                                                              \
	trouble = copy_table(&a, #name, (const void **)&d->name, r->kind##_size,                   \
			     sizeof(struct minivmm_##kind), &plugin->kind##_count)
	TABLE(options, option);
	TABLE(ranges, range);
	TABLE(timers, timer);
	TABLE(streams, stream);
	TABLE(watches, watch);
	TABLE(posts, post);
	TABLE(fields, field);
	TABLE(acpi, acpi);
#undef TABLE
	if (trouble)
		return trouble;
	if (!d->name || !d->summary || !d->state_version)
		return wrong(&a, "its descriptor lacks a name, a summary or a state_version");
	trouble = check_flags(&a, "the descriptor", "", d->flags, MINIVMM_CONCURRENT);
	if (!trouble)
		trouble = check_options(&a);
	if (!trouble)
		trouble = check_ranges(&a);
	if (!trouble)
		trouble = check_streams(&a);
	if (!trouble)
		trouble = check_fields(&a);
	if (!trouble)
		trouble = check_acpi(&a);
	if (!trouble)
		trouble = check_callbacks(&a);
	return trouble ? trouble : check_all_names(&a);
}
