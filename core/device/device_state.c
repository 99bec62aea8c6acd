/* SPDX-License-Identifier: BSD-2-Clause */
/* Saves and loads devices: the values of the plugin's state, timers, streams, random numbers. */
#include <string.h>

#include "base/fields.h"
#include "base/log.h"
#include "base/mutant.h"
#include "device/device.h"
#include "device/device_state.h"

static void
save_timers(struct device *d, struct record_writer *writer)
{
	record_begin(writer, "timers", RECORD_GROUP);
	record_known_names(writer, true);
	for (uint32_t i = 0; i < d->plugin.timer_count; i++) {
		const struct loop_timer *t = &d->timers[i].timer;
		struct saved_timer saved = { .armed = t->armed };

		if (t->armed)
			saved = (struct saved_timer){ true, t->deadline, t->period };
		record_begin(writer, d->plugin.descriptor.timers[i].name, RECORD_GROUP);
		fields_save(saved_timer_fields, &saved, writer);
		record_end(writer);
	}
	record_end(writer);
}

int
device_save(struct device *d, struct record_writer *writer)
{
	const struct minivmm_plugin *descriptor = &d->plugin.descriptor;
	size_t before = writer->length;
	char text[64];
	int r;

	record_known_names(writer, true);
	record_put_text(writer, "name", d->config->name);
	record_put_text(writer, "plugin", descriptor->name);
	record_put_u32(writer, "version", descriptor->state_version);
	r = device_plugin_state_save(d, writer);
	if (r < 0 && !writer->no_memory) /* which the caller reports */
		return fail(STATUS_IO, "device %s (plugin %s): %s: no snapshot is written",
			    d->config->name, descriptor->name,
			    device_failure(d, "save", text, sizeof(text)));
	save_timers(d, writer);
	record_begin(writer, "streams", RECORD_GROUP);
	record_known_names(writer, true);
	for (uint32_t i = 0; i < d->plugin.stream_count; i++) {
		record_begin(writer, descriptor->streams[i].name, RECORD_GROUP);
		stream_save(&d->streams[i].stream, writer);
		record_end(writer);
	}
	record_end(writer);
	record_put(writer, "random", RECORD_U64, d->random, 4, true);
	record_known_names(writer, false);
	d->state_size = writer->length - before;
	return 0;
}

/* Bytes of name, plugin, version, random, and of the groups' names; a text has at most 255. */
#define OTHER_ITEMS 768u

size_t
device_state_size(const struct device *d)
{
	const struct minivmm_plugin *descriptor = &d->plugin.descriptor;
	const struct saved_timer saved = { 0 };
	size_t sum = OTHER_ITEMS, last = d->state_size + d->state_size / 4;

	if (descriptor->save && !d->state_size)
		sum += descriptor->state_size;
	if (descriptor->fields)
		sum += fields_size(descriptor->fields, d->host.public.state);
	for (uint32_t t = 0; t < d->plugin.timer_count; t++)
		sum += RECORD_HEADER(strlen(descriptor->timers[t].name)) +
		       fields_size(saved_timer_fields, &saved);
	for (uint32_t s = 0; s < d->plugin.stream_count; s++)
		sum += RECORD_HEADER(strlen(descriptor->streams[s].name)) +
		       stream_state_size(&d->streams[s].stream);
	return sum > last ? sum : last;
}

/* Finds a group by name. */
static int
group_of(struct record_lookup *lookup, const char *name, struct record *item, struct why *why)
{
	if (record_lookup_find(lookup, name, strlen(name), item) && item->type == RECORD_GROUP)
		return 0;
	return why_set(why, "%s is missing", name);
}

static int
load_timers(struct device *d, struct record_lookup *timers, struct why *why)
{
	struct saved_timer saved;
	struct record timer;

	for (uint32_t i = 0; i < d->plugin.timer_count; i++) {
		const char *name = d->plugin.descriptor.timers[i].name;

		if (group_of(timers, name, &timer, why))
			return -1;
		if (fields_load(saved_timer_fields, &saved, &timer, 1, why))
			return why_prefix(why, "timer %s: ", name);
		if (saved.armed && !mutant("timer", name))
			loop_timer_set(&d->all->machine->loop, &d->timers[i].timer, saved.deadline,
				       saved.period);
		else
			loop_timer_cancel(&d->all->machine->loop, &d->timers[i].timer);
	}
	return 0;
}

static int
load_streams(struct device *d, struct record_lookup *streams, struct why *why)
{
	struct config_option *input;
	struct record stream;

	for (uint32_t i = 0; i < d->plugin.stream_count; i++) {
		const char *name = d->plugin.descriptor.streams[i].name;

		if (group_of(streams, name, &stream, why))
			return -1;
		/* Input from --set replaces the saved input, at each reset too. */
		input = d->plugin.descriptor.streams[i].input
			    ? config_option_find(d->config, d->plugin.descriptor.streams[i].input)
			    : NULL;
		if (d->all->flags & DEVICES_DETACHED) {
			stream_drop(&d->streams[i].stream);
			continue;
		}
		if (input && !strcmp(input->place.file, CONFIG_SET))
			stream_rewind(&d->streams[i].stream);
		else if (!mutant("stream", name) &&
			 stream_load(&d->streams[i].stream, &stream, why))
			return -1;
	}
	return 0;
}

/* Loads the rows of one of the device's tables from the group of this name. */
static int
load_rows(struct device *d, const struct record *group, const char *name,
	  int (*load)(struct device *d, struct record_lookup *rows, struct why *why),
	  struct why *why)
{
	struct record_lookup lookup;
	struct record rows;
	int r;

	if (!record_find(group, name, &rows) || rows.type != RECORD_GROUP)
		return why_set(why, "%s is missing", name);
	record_lookup_open(&lookup, &rows);
	r = load(d, &lookup, why);
	record_lookup_close(&lookup);
	return r;
}

static int
load_all(struct device *d, const struct record *group, struct why *why)
{
	struct record random;

	/* A reset cancels pending posts. */
	for (uint32_t i = 0; i < d->plugin.post_count; i++)
		loop_deferred_remove(&d->all->machine->loop, &d->posts[i].deferred);
	if (device_plugin_state_load(d, group, why) ||
	    load_rows(d, group, "timers", load_timers, why) ||
	    load_rows(d, group, "streams", load_streams, why))
		return -1;
	if (!record_find(group, "random", &random) || random.type != RECORD_U64 ||
	    random.count != 4)
		return why_set(why, "random is missing");
	for (uint32_t i = 0; i < 4; i++)
		d->random[i] = record_number(&random, i);
	return 0;
}

int
device_load(struct device *d, const struct record *group, struct why *why)
{
	d->state_size = group->count;
	if (!load_all(d, group, why))
		return 0;
	return why_prefix(why, "device %s (plugin %s): ", d->config->name,
			  d->plugin.descriptor.name);
}

void
devices_save_generation(const struct devices *devices, struct record_writer *writer)
{
	record_put_bytes(writer, "generation", devices->generation, sizeof(devices->generation));
}

/* The generation id in group, or NULL. */
static const uint8_t *
generation_of(const struct record *group)
{
	const uint8_t *generation;
	size_t length;

	if (!record_get_bytes(group, "generation", &generation, &length) ||
	    length != sizeof(((struct devices *)0)->generation))
		return NULL;
	return generation;
}

int
devices_check_generation(const struct record *group, struct why *why)
{
	if (generation_of(group))
		return 0;
	return why_set(why, "generation is missing or is not an id of 16 bytes");
}

void
devices_load_generation(struct devices *devices, const struct record *group)
{
	memcpy(devices->generation, generation_of(group), sizeof(devices->generation));
}
