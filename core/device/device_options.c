/* SPDX-License-Identifier: BSD-2-Clause */
/* A device's options: from text in the config to members of its state, places on the bus, ends of
 * streams. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "device/device.h"
#include "machine/layout.h"

#define UNKNOWN_SAID 8u /* options of one device that are unknown: of more, no word */

/* An option as it was given, or its initial value; place says where an error was made. */
struct given {
	const char *text; /* NULL: neither given nor initial */
	struct config_place place;
	bool by_user;
};

static struct given
given(struct device *device, const struct minivmm_option *row)
{
	struct config_option *option = config_option_find(device->config, row->name);

	if (option)
		return (struct given){ option->value, option->place, true };
	return (struct given){ row->initial, device->config->place, false };
}

__attribute__((format(printf, 4, 5))) static int
bad(struct device *device, const struct minivmm_option *row, struct config_place place,
    const char *format, ...)
{
	char where[256], text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return fail(STATUS_USAGE, "%s: device %s: %s %s", config_where(place, where, sizeof(where)),
		    device->config->name, row->name, text);
}

/* The name of an enum's value, or -1. */
static int
enum_value(const struct minivmm_option *row, const char *text)
{
	for (int i = 0; row->values[i]; i++)
		if (!strcmp(row->values[i], text))
			return i;
	return -1;
}

static int
set_enum(struct device *device, const struct minivmm_option *row, const struct given *g)
{
	int value = enum_value(row, g->text);
	char list[256];

	if (value >= 0) {
		*(uint32_t *)((char *)device->public.state + row->offset) = (uint32_t)value;
		return 0;
	}
	return bad(device, row, g->place, "= %s: %s%s", g->text,
		   format_names("use ", row->values, list, sizeof(list)),
		   did_you_mean(nearest(g->text, row->values), "").text);
}

static uint64_t
type_max(uint32_t type)
{
	switch (type) {
	case MINIVMM_U8:
		return UINT8_MAX;
	case MINIVMM_U16:
	case MINIVMM_PORT:
		return UINT16_MAX;
	case MINIVMM_U32:
		return UINT32_MAX;
	case MINIVMM_DURATION:
		return INT64_MAX; /* 292 years: the VM's clock and it can be added */
	default:
		return UINT64_MAX;
	}
}

/* A number of any of the types that are numbers, checked against the row's and the type's
 * limits. */
static int
number(struct device *device, const struct minivmm_option *row, const struct given *g,
       uint64_t *value)
{
	char low[24], high[24];
	uint64_t limit = type_max(row->type);
	uint64_t max = row->max && row->max < limit ? row->max : limit;
	struct why why;

	if (row->type == MINIVMM_SIZE       ? parse_size(g->text, value, &why)
	    : row->type == MINIVMM_DURATION ? parse_duration(g->text, value, &why)
					    : parse_u64(g->text, value, &why))
		return bad(device, row, g->place, "= %s %s", g->text, why.text);
	if (*value < row->min || *value > max)
		return bad(device, row, g->place, "= %s is out of range; it goes from %s to %s",
			   g->text, plugin_value(row, row->min, low, sizeof(low)),
			   plugin_value(row, max, high, sizeof(high)));
	return 0;
}

static int
set_number(struct device *device, const struct minivmm_option *row, const struct given *g)
{
	char *member = (char *)device->public.state + row->offset;
	uint64_t value;

	if (number(device, row, g, &value))
		return -STATUS_USAGE;
	switch (type_max(row->type)) { /* little-endian, like the guest */
	case UINT8_MAX:
		memcpy(member, &value, 1);
		break;
	case UINT16_MAX:
		memcpy(member, &value, 2);
		break;
	case UINT32_MAX:
		memcpy(member, &value, 4);
		break;
	default:
		memcpy(member, &value, 8);
	}
	return 0;
}

static int
set_bool(struct device *device, const struct minivmm_option *row, const struct given *g)
{
	struct why why;

	if (parse_bool(g->text, (bool *)((char *)device->public.state + row->offset), &why))
		return bad(device, row, g->place, "= %s %s", g->text, why.text);
	return 0;
}

static int
set_irq(struct device *device, const struct minivmm_option *row, const struct given *g)
{
	struct minivmm_irq *irq =
	    (struct minivmm_irq *)((char *)device->public.state + row->offset);
	char where[256], owner[96];
	uint64_t line;
	int r;

	if (!strcmp(g->text, "none"))
		return 0;
	if (parse_u64(g->text, &line, NULL) || line >= IRQ_LINES)
		return bad(device, row, g->place, "= %s: use a line from 0 to %d, or none", g->text,
			   IRQ_LINES - 1);
	if (!machine_irqchip(device->all->machine))
		return bad(
		    device, row, g->place,
		    "= %s needs an interrupt controller: set irqchip = on in [vm], or none here",
		    g->text);
	snprintf(owner, sizeof(owner), "%s.%s", device->config->name, row->name);
	r = irqs_add(&device->all->machine->irqs, (uint32_t)line, row->flags & MINIVMM_EDGE,
		     row->flags & MINIVMM_ACTIVE_LOW, config_where(g->place, where, sizeof(where)),
		     owner);
	if (r < 0)
		return r;
	irq->handle = (uint32_t)r;
	return 0;
}

/* Whether a text begins with a scheme, as in nbd://host/disk (RFC 3986, section 3.1). */
static bool
is_uri(const char *text)
{
	size_t scheme = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789+-.");

	return scheme && !strncmp(text + scheme, "://", 3);
}

/* A path as it is to be opened, malloced; NULL: no memory. A URI is in no folder. */
static char *
resolve(struct device *device, const char *path, const struct given *g)
{
	return *path && g->by_user && !is_uri(path)
		   ? config_resolve(device->all->config, g->place, path)
		   : strdup(path);
}

/* What a snapshot names of the host is opened only when given again or trusted. */
static int
check_trust(struct device *device, const struct minivmm_option *row, const struct given *g)
{
	if (!(device->all->flags & DEVICES_RESTORED) || device->all->flags & DEVICES_TRUSTED ||
	    !g->by_user || !strcmp(g->place.file, CONFIG_SET))
		return 0;
	return fail(STATUS_SNAPSHOT,
		    "the snapshot's device %s names something of the host, %s = %s: give --set "
		    "device.%s.%s=..., "
		    "or --trust",
		    device->config->name, row->name, g->text, device->config->name, row->name);
}

/* A text that names nothing is empty, or "none" where that is no file. */
static bool
names_host(const struct minivmm_option *row, const char *text)
{
	return *text && (row->type == MINIVMM_PATH ||
			 (row->flags & MINIVMM_HOST && strcmp(text, "none") != 0));
}

static int
set_text(struct device *device, const struct minivmm_option *row, const struct given *g)
{
	char **strings = realloc(device->strings, (device->string_count + 1) * sizeof(*strings)),
	     *text;

	if (!strings)
		return fail(STATUS_HOST, "no memory for %s", row->name);
	device->strings = strings;
	if (names_host(row, g->text) && check_trust(device, row, g))
		return -STATUS_SNAPSHOT;
	text = row->type == MINIVMM_PATH ? resolve(device, g->text, g) : strdup(g->text);
	if (!text)
		return fail(STATUS_HOST, "no memory for %s", row->name);
	strings[device->string_count++] = text;
	*(const char **)((char *)device->public.state + row->offset) = text;
	return 0;
}

static int
set_member(struct device *device, const struct minivmm_option *row, const struct given *g)
{
	switch (row->type) {
	case MINIVMM_BOOL:
		return set_bool(device, row, g);
	case MINIVMM_ENUM:
		return set_enum(device, row, g);
	case MINIVMM_IRQ:
		return set_irq(device, row, g);
	case MINIVMM_STRING:
	case MINIVMM_PATH:
		return set_text(device, row, g);
	default:
		return set_number(device, row, g);
	}
}

const struct plugin_option *
device_option(const struct device *device, const char *name)
{
	for (size_t i = 0; i < device->plugin.all_count; i++)
		if (!strcmp(plugin_option(&device->plugin, i)->row.name, name))
			return plugin_option(&device->plugin, i);
	return NULL;
}

/* Keys that no option has, with the nearest that there is. */
static int
check_unknown(struct device *device)
{
	const char **names = calloc(device->plugin.all_count + 1, sizeof(*names));
	unsigned unknown = 0;
	int r = 0;

	if (!names)
		return fail(STATUS_HOST, "no memory for options");
	for (size_t i = 0; i < device->plugin.all_count; i++)
		names[i] = plugin_option(&device->plugin, i)->row.name;
	for (size_t i = 0; i < device->config->option_count; i++) {
		struct config_option *o = &device->config->options[i];
		char where[256];

		if (device_option(device, o->key))
			continue;
		r = fail(STATUS_USAGE,
			 "%s: device %s: plugin %s has no option %s%s (minivmm plugins %s lists "
			 "them)",
			 config_where(o->place, where, sizeof(where)), device->config->name,
			 device->config->plugin, o->key,
			 did_you_mean(nearest(o->key, names), "").text, device->config->plugin);
		if (++unknown == UNKNOWN_SAID)
			break;
	}
	free(names);
	return r;
}

/* What --set changes of a restored machine is of the host's side: the rest is part of its state. */
static int
check_overrides(struct device *device)
{
	int r = 0;

	for (size_t i = 0; i < device->plugin.all_count; i++) {
		const struct minivmm_option *row = &plugin_option(&device->plugin, i)->row;
		struct given g = given(device, row);

		if (g.by_user && !strcmp(g.place.file, CONFIG_SET) &&
		    !(row->flags & MINIVMM_HOST) && row->type != MINIVMM_PATH)
			r = bad(device, row, g.place,
				"can't be changed at a restore: it is part of the machine's state");
	}
	return r;
}

/* The number that an option of the state holds, for a range's length. */
static uint64_t
member_number(const struct device *device, const char *name)
{
	const struct plugin_option *option = device_option(device, name);
	uint64_t value = 0;

	switch (type_max(option->row.type)) {
	case UINT8_MAX:
		memcpy(&value, (char *)device->public.state + option->row.offset, 1);
		break;
	case UINT16_MAX:
		memcpy(&value, (char *)device->public.state + option->row.offset, 2);
		break;
	case UINT32_MAX:
		memcpy(&value, (char *)device->public.state + option->row.offset, 4);
		break;
	default:
		memcpy(&value, (char *)device->public.state + option->row.offset, 8);
	}
	return value;
}

static bool
in_memory(const struct memory *memory, const struct bus_range *range)
{
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *region = memory_region_at(memory, i);

		if (range->base < region->gpa + region->size &&
		    (range->base >= region->gpa || region->gpa - range->base < range->length))
			return true;
	}
	return false;
}

static int
place_range(struct device *device, uint32_t index)
{
	const struct minivmm_range *row = &device->plugin.descriptor.ranges[index];
	const struct minivmm_option *option = &device_option(device, row->at)->row;
	struct bus_range range = {
		.device = &device->public,
		.row = row,
		.index = index,
		.length =
		    row->length_option ? member_number(device, row->length_option) : row->length,
		.gate = device->gate,
	};
	struct given g = given(device, option);
	const struct layout_chip *chip;
	char where[256];

	if (!g.text)
		return 0; /* optional */
	if (number(device, option, &g, &range.base))
		return -STATUS_USAGE;
	if (row->space == MINIVMM_MMIO && in_memory(&device->all->machine->memory, &range))
		return bad(device, option, g.place,
			   "= %s lies in guest memory, which would hide it: move it", g.text);
	chip = machine_irqchip(device->all->machine)
		   ? layout_chip_at(row->space, range.base, range.length)
		   : NULL;
	if (chip)
		return bad(device, option, g.place,
			   "= %s lies over the %s, 0x%llx to 0x%llx, which would hide it: move "
			   "it, or set irqchip = off in [vm]",
			   g.text, chip->name, (unsigned long long)chip->first,
			   (unsigned long long)chip->last);
	return bus_add(&device->all->machine->bus, &range,
		       config_where(g.place, where, sizeof(where)));
}

/* An input file is read, so its path is relative to the config; an output is written to the current
 * folder. */
static int
connect_stream(struct device *device, uint32_t index)
{
	const struct minivmm_stream *row = &device->plugin.descriptor.streams[index];
	const struct minivmm_option *out =
	    row->output ? &device_option(device, row->output)->row : NULL;
	const struct minivmm_option *in =
	    row->input ? &device_option(device, row->input)->row : NULL;
	struct given output = out ? given(device, out) : (struct given){ .text = "" };
	struct given input = in ? given(device, in) : (struct given){ .text = "" };
	struct stream *stream = &device->streams[index].stream;
	char *path = NULL, *resolved = NULL, wait[128];
	struct config_option *waits;
	int r = 0;

	if (device->all->flags & DEVICES_DETACHED)
		output.text = input.text = "";
	if (out && output.text && stream_names_host(output.text))
		r = check_trust(device, out, &output);
	if (in && input.text && stream_names_host(input.text)) {
		int untrusted = check_trust(device, in, &input);

		r = r ? r : untrusted;
	}
	if (r)
		return r;
	if (input.text && !strncmp(input.text, "file:", 5)) {
		path = resolve(device, input.text + 5, &input);
		if (!path || asprintf(&resolved, "file:%s", path) < 0)
			r = fail(STATUS_HOST, "no memory for %s", row->name);
		free(path);
		if (r)
			return r;
	}
	r = stream_init(stream, &device->all->streams, device->config->name, row->name, output.text,
			output.place, resolved ? resolved : input.text, input.place);
	free(resolved);
	device->streams_ready = index + 1;
	if (r)
		return r;
	if (row->input) {
		snprintf(wait, sizeof(wait), "wait_%s", row->input);
		waits = config_option_find(device->config, wait);
		if (waits && parse_bool(waits->value, &stream->wait_input, NULL))
			return -STATUS_USAGE; /* said by check_text() */
	}
	return 0;
}

/* An option without member, which is used only when all others are right as well: here its text is
 * looked at. */
static int
check_text(struct device *device, const struct minivmm_option *row, const struct given *g)
{
	struct why why;
	uint64_t value;
	bool truth;

	if (row->type == MINIVMM_PORT || row->type == MINIVMM_ADDRESS)
		return number(device, row, g, &value);
	if (row->type != MINIVMM_BOOL)
		return 0; /* a stream: stream_init() looks */
	if (parse_bool(g->text, &truth, &why))
		return bad(device, row, g->place, "= %s %s", g->text, why.text);
	return 0;
}

int
device_options(struct device *device)
{
	int first = check_unknown(device), r;

	if (device->all->flags & DEVICES_RESTORED && !first)
		first = check_overrides(device);

#define KEEP(call)                                                                                 \
	do {                                                                                       \
		r = (call);                                                                        \
		first = first ? first : r;                                                         \
	} while (0)
	for (size_t i = 0; i < device->plugin.all_count; i++) {
		const struct plugin_option *option = plugin_option(&device->plugin, i);
		struct given g = given(device, &option->row);

		if (!g.text && option->required)
			KEEP(bad(device, &option->row, g.place,
				 "is missing: it has no initial value; it is: %s",
				 option->row.help ? option->row.help
						  : plugin_type_name(option->row.type)));
		else if (g.text && option->row.offset == PLUGIN_NO_MEMBER)
			KEEP(check_text(device, &option->row, &g));
		else if (g.text)
			KEEP(set_member(device, &option->row, &g));
	}
	for (uint32_t i = 0; i < device->plugin.stream_count; i++)
		KEEP(connect_stream(device, i));
	if (first)
		return first;
	for (uint32_t i = 0; i < device->plugin.range_count; i++)
		KEEP(place_range(device, i));
#undef KEEP
	return first;
}
