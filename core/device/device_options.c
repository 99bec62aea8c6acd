/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Applies a device's options: members of the state, streams, and ranges on the bus. Their texts are
 * parsed in device_values.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/habits.h"
#include "base/log.h"
#include "base/text.h"
#include "device/device_values.h"
#include "machine/layout.h"

#define UNKNOWN_MAX 8u /* number of unknown options that are reported per device */

const struct plugin_option *
device_option(const struct device *device, const char *name)
{
	for (size_t i = 0; i < device->plugin.all_count; i++)
		if (!strcmp(plugin_option(&device->plugin, i)->row.name, name))
			return plugin_option(&device->plugin, i);
	return NULL;
}

/* Reports keys in the config that are not options, with the most similar option. */
static int
check_unknown(struct device *device)
{
	const char **names = calloc(device->plugin.all_count + 1, sizeof(*names)), *ours;
	unsigned unknown = 0;
	int r = 0;

	if (!names)
		return fail_memory("options");
	for (size_t i = 0; i < device->plugin.all_count; i++)
		names[i] = plugin_option(&device->plugin, i)->row.name;
	for (size_t i = 0; i < device->config->option_count; i++) {
		struct config_option *o = &device->config->options[i];
		char where[256];

		if (device_option(device, o->key))
			continue;
		ours = habit(HABIT_DEVICE, o->key);
		if (!ours || !device_option(device, ours))
			ours = nearest(o->key, names);
		r = fail(STATUS_USAGE,
			 "%s: %s %s: plugin %s has no option %s%s (minivmm plugins %s lists "
			 "them)",
			 config_option_where(o->place, device_kind(device), device->config->name,
					     o->key, where, sizeof(where)),
			 device_kind(device), device->config->name, device->config->plugin, o->key,
			 did_you_mean(ours, "").text, device->config->plugin);
		if (++unknown == UNKNOWN_MAX)
			break;
	}
	free(names);
	return r;
}

/* Refuses --set at a restore for options that are part of the machine's state. Options that name
 * host resources can change. */
static int
check_overrides(struct device *device)
{
	int r = 0;

	for (size_t i = 0; i < device->plugin.all_count; i++) {
		const struct minivmm_option *row = &plugin_option(&device->plugin, i)->row;
		struct option_text given = device_option_text(device, row);

		if (given.by_user && !strcmp(given.place.file, CONFIG_SET) &&
		    !(row->flags & MINIVMM_HOST) && row->type != MINIVMM_PATH)
			r = device_option_error(
			    device, row, given.place,
			    "cannot be changed at a restore: it is part of the machine's state");
	}
	return r;
}

uint64_t
device_range_length(const struct device *device, uint32_t row)
{
	const struct minivmm_range *range = &device->plugin.descriptor.ranges[row];

	return range->length_option ? device_option_value(device, range->length_option)
				    : range->length;
}

/* An option that a device in a slot does not use is given. */
static int
no_effect(struct device *device, const struct minivmm_option *row, const struct option_text *given)
{
	return device_option_error(device, row, given->place,
				   "= %s has no effect: the device is in a slot; remove this line, "
				   "or set %s = none",
				   given->text, device->plugin.descriptor.pci->slot);
}

static int
missing(struct device *device, const struct plugin_option *option, const struct option_text *given)
{
	const struct minivmm_option *row = &option->row;
	const struct minivmm_pci *pci = device->plugin.descriptor.pci;
	bool or_slot = row->flags & MINIVMM_NO_SLOT && device->plugin.pci_count;

	return device_option_error(device, row, given->place,
				   "is missing: it has no initial value (%s)%s%s%s",
				   row->help ? row->help : plugin_type_name(row->type),
				   or_slot ? "; a PCI device does not need it: set " : "",
				   or_slot ? pci->slot : "", or_slot ? " = next" : "");
}

/* Adds a range whose BAR gives it an address. */
static int
add_bar_range(struct device *device, const struct bus_range *range)
{
	return bus_add_unplaced(&device->all->machine->bus, range, device->config->name);
}

/* A range is where its option says, or where the guest puts its BAR if the device is in a slot. */
static int
place_range(struct device *device, uint32_t index)
{
	const struct minivmm_range *row = &device->plugin.descriptor.ranges[index];
	const struct plugin_option *o = row->at ? device_option(device, row->at) : NULL;
	const struct minivmm_option *option = o ? &o->row : NULL;
	struct bus_range range = {
		.device = &device->host.public,
		.row = row,
		.index = index,
		.length = device_range_length(device, index),
		.gate = device->host.gate,
	};
	struct option_text given = { 0 };
	const struct layout_chip *chip;
	char where[256];
	gpa_t end;

	if (device->slot && row->flags & MINIVMM_NO_SLOT)
		return 0;
	if (option)
		given = device_option_text(device, option);
	if (device->slot && plugin_has_bar(&device->plugin, index))
		return given.by_user ? no_effect(device, option, &given)
				     : add_bar_range(device, &range);
	if (!given.text)
		return 0; /* optional, or only a BAR */
	if (device_option_number(device, option, &given, &range.base))
		return -STATUS_USAGE;
	if (row->space == MINIVMM_MMIO &&
	    memory_overlaps(&device->all->machine->memory, range.base, range.length, &end))
		return device_option_error(
		    device, option, given.place,
		    "= %s overlaps guest memory, which would hide it: move it", given.text);
	chip = machine_irqchip(device->all->machine)
		   ? layout_chip_at(row->space, range.base, range.length)
		   : NULL;
	if (chip)
		return device_option_error(
		    device, option, given.place,
		    "= %s overlaps the %s, 0x%llx to 0x%llx, which would hide it: move it, "
		    "or set irqchip = off in [vm]",
		    given.text, chip->name, (unsigned long long)chip->first,
		    (unsigned long long)chip->last);
	return bus_add(&device->all->machine->bus, &range,
		       config_option_where(given.place, device_kind(device), device->config->name,
					   option->name, where, sizeof(where)));
}

/* Two machines cannot share what a stream is connected to: a branch has that of its --set. */
static void
leave_unconnected(const struct device *device, const char *option, struct option_text *given)
{
	if (!given->text || !*given->text || !strcmp(given->text, "none") ||
	    (given->by_user && !strcmp(given->place.file, CONFIG_SET)))
		return;
	if (device->all->flags & DEVICES_BRANCHED)
		log_line(MINIVMM_INFO, device->config->name,
			 "%s = %s is not connected in this branch; give it --set device.%s.%s=...",
			 option, given->text, device->config->name, option);
	given->text = "";
}

/* Initialises a stream from its options. The path of an input file is relative to the config, like
 * other files that are read; that of an output file to the current folder. */
static int
connect_stream(struct device *device, uint32_t index)
{
	const struct minivmm_stream *row = &device->plugin.descriptor.streams[index];
	const struct minivmm_option *out =
	    row->output ? &device_option(device, row->output)->row : NULL;
	const struct minivmm_option *in =
	    row->input ? &device_option(device, row->input)->row : NULL;
	struct option_text output =
	    out ? device_option_text(device, out) : (struct option_text){ .text = "" };
	struct option_text input =
	    in ? device_option_text(device, in) : (struct option_text){ .text = "" };
	struct stream *stream = &device->streams[index].stream;
	char *path = NULL, *resolved = NULL, wait[128];
	struct config_option *wait_option;
	int r = 0;

	if (device->all->flags & DEVICES_DETACHED)
		output.text = input.text = "";
	else if (device->all->flags & (DEVICES_BRANCHED | DEVICES_HELD)) {
		leave_unconnected(device, row->output, &output);
		if (!stream_is_private(input.text))
			leave_unconnected(device, row->input, &input);
	}
	if (out && output.text && stream_names_host(output.text))
		r = device_option_check_trust(device, out, &output);
	if (in && input.text && stream_names_host(input.text)) {
		int untrusted = device_option_check_trust(device, in, &input);

		r = r ? r : untrusted;
	}
	if (r)
		return r;
	if (input.text && !strncmp(input.text, "file:", 5)) {
		path = device_option_resolve(device, input.text + 5, &input);
		if (!path || asprintf(&resolved, "file:%s", path) < 0)
			r = fail_memory("%s", row->name);
		free(path);
		if (r)
			return r;
	}
	r = stream_init(
	    stream, &device->all->streams, device->config->name,
	    &(struct stream_option){ row->output, output.text, output.place },
	    &(struct stream_option){ row->input, resolved ? resolved : input.text, input.place });
	free(resolved);
	device->streams_ready = index + 1;
	if (r)
		return r;
	if (row->input) {
		snprintf(wait, sizeof(wait), "wait_%s", row->input);
		wait_option = config_option_find(device->config, wait);
		if (wait_option && parse_bool(wait_option->value, &stream->wait_input, NULL))
			return -STATUS_USAGE; /* check_text() has reported it */
	}
	return 0;
}

/* Checks the text of an option without member, so that its errors are reported together with those
 * of other options. Ranges and streams use the option later. */
static int
check_text(struct device *device, const struct minivmm_option *row, const struct option_text *given)
{
	struct why why;
	uint64_t value;
	bool truth;

	if (row->type == MINIVMM_PORT || row->type == MINIVMM_ADDRESS)
		return device_option_number(device, row, given, &value);
	if (row->type != MINIVMM_BOOL)
		return 0; /* a stream: stream_init() checks it; or a slot: find_slot() */
	if (parse_bool(given->text, &truth, &why))
		return device_option_error(device, row, given->place, "= %s %s", given->text,
					   why.text);
	return 0;
}

/*
 * Makes the paths absolute that --set gives relative to the current directory. A snapshot stores
 * them, and the machine may be restored in another directory. Only the texts of the config change:
 * the plugin and the messages of this run keep the path as it was given.
 */
static int
keep_paths(struct device *device)
{
	char *here = getcwd(NULL, 0), *full;
	int r = 0;

	for (size_t i = 0; here && i < device->config->option_count && !r; i++) {
		struct config_option *option = &device->config->options[i];
		const struct plugin_option *o = device_option(device, option->key);

		if (!o || o->row.type != MINIVMM_PATH || option->place.line ||
		    strncmp(option->place.file, CONFIG_SET, strlen(CONFIG_SET)) ||
		    !device_option_relative(option->value))
			continue;
		if (asprintf(&full, "%s/%s", here, option->value) < 0)
			r = fail_memory("%s", option->key);
		else
			config_option_replace(option, full);
	}
	free(here);
	return r;
}

/* Reads "3" or "3.1". */
static bool
read_slot(struct device *device, const char *text)
{
	const char *dot = strchr(text, '.');
	uint64_t slot, function = 0;
	char number[8];

	snprintf(number, sizeof(number), "%.*s", (int)strcspn(text, "."), text);
	if (parse_u64(number, &slot, NULL) || !slot || slot > 31 ||
	    (dot && (parse_u64(dot + 1, &function, NULL) || function > 7)))
		return false;
	device->slot_index = (uint32_t)slot;
	device->slot_function = (uint32_t)function;
	return true;
}

/* Whether all ranges of the device are BARs: without a slot, the guest cannot reach it. */
static bool
needs_slot(const struct device *device)
{
	const struct plugin *plugin = &device->plugin;

	for (uint32_t i = 0; i < plugin->range_count; i++)
		if (plugin->descriptor.ranges[i].at)
			return false;
	return plugin->range_count > 0;
}

/* Takes the text of the option for the slot. A device with an invalid slot is in a slot, too: else
 * its lines address and irq would be missed. */
static int
find_slot(struct device *device)
{
	const struct minivmm_pci *row = device->plugin.descriptor.pci;
	const struct minivmm_option *option;
	struct option_text given;

	if (!device->plugin.pci_count)
		return 0;
	option = &device_option(device, row->slot)->row;
	given = device_option_text(device, option);
	if (!strcmp(given.text, "none") &&
	    (!needs_slot(device) || device->all->flags & DEVICES_RESTORED))
		return 0; /* earlier versions accepted it: their snapshots can be restored */
	if (!strcmp(given.text, "none"))
		return device_option_error(
		    device, option, given.place,
		    "= none leaves the device without an address, because all its ranges are "
		    "BARs: set %s = next, or remove the device",
		    option->name);
	device->slot = given.text;
	if (strcmp(given.text, "next") != 0 && !read_slot(device, given.text))
		return device_option_error(
		    device, option, given.place,
		    "= %s: use a slot from 1 to 31, such as 3 or 3.1, next or none", given.text);
	if (!machine_irqchip(device->all->machine))
		return device_option_error(
		    device, option, given.place,
		    "= %s needs an interrupt controller: set irqchip = on in [vm], or %s%s",
		    given.text, needs_slot(device) ? "remove the device" : option->name,
		    needs_slot(device) ? "" : " = none");
	return 0;
}

int
device_options(struct device *device)
{
	int first = check_unknown(device), r;

	if (device->all->flags & DEVICES_RESTORED && !first) {
		first = check_overrides(device);
		if (first)
			return first; /* the rest would be checked with what was refused */
	}

#define KEEP(call)                                                                                 \
	do {                                                                                       \
		r = (call);                                                                        \
		first = first ? first : r;                                                         \
	} while (0)
	KEEP(find_slot(device));
	for (size_t i = 0; i < device->plugin.all_count; i++) {
		const struct plugin_option *option = plugin_option(&device->plugin, i);
		struct option_text given = device_option_text(device, &option->row);

		if (device->slot && option->row.flags & MINIVMM_NO_SLOT)
			KEEP(given.by_user ? no_effect(device, &option->row, &given) : 0);
		else if (!given.text && option->required)
			KEEP(missing(device, option, &given));
		else if (given.text && option->row.offset == PLUGIN_NO_MEMBER)
			KEEP(check_text(device, &option->row, &given));
		else if (given.text) {
			KEEP(device_option_set(device, &option->row, &given));
			if (!r)
				KEEP(device_option_flags(device, &option->row, &given));
		}
	}
	for (uint32_t i = 0; i < device->plugin.stream_count; i++)
		KEEP(connect_stream(device, i));
	if (first)
		return first;
	for (uint32_t i = 0; i < device->plugin.range_count; i++)
		KEEP(place_range(device, i));
	KEEP(keep_paths(device));
#undef KEEP
	return first;
}
