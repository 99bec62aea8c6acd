/* SPDX-License-Identifier: BSD-2-Clause */
/* Saves and loads devices: the plugin's state, by fields or by its save and load, and the core's
 * state of the device. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/log.h"
#include "base/mutant.h"
#include "device/device.h"
#include "device/device_state.h"

#define ITEMS_MAX 256u /* in a group that a plugin's load reads */

/* An open group or list in a plugin's load. */
struct level {
	struct record group, list;
	bool in_list;
	size_t position;               /* of the next element in list */
	uint64_t read[ITEMS_MAX / 64]; /* bit i: load has read item i of group */
};

struct minivmm_reader {
	struct level levels[RECORD_DEPTH];
	unsigned depth;
	struct why *why;
};

static int
put(struct minivmm_writer *writer, const char *name, uint32_t type, const void *values,
    size_t count, bool array)
{
	struct record_writer *w = (struct record_writer *)writer;

	if (type < MINIVMM_U8 || type > MINIVMM_BOOL) {
		record_fail(w, false);
		return -1;
	}
	record_put(w, name, (enum record_type)type, values, count, array);
	return w->failed ? -1 : 0;
}

static int
put_begin(struct minivmm_writer *writer, const char *name, bool list)
{
	struct record_writer *w = (struct record_writer *)writer;

	record_begin(w, name, list ? RECORD_LIST : RECORD_GROUP);
	return w->failed ? -1 : 0;
}

static int
put_end(struct minivmm_writer *writer)
{
	record_end((struct record_writer *)writer);
	return 0;
}

/* Sets the reason why the state cannot be loaded; the first reason wins. Returns -1. */
__attribute__((format(printf, 2, 3))) static int
load_error(struct minivmm_reader *reader, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	if (!*reader->why->text)
		why_vset(reader->why, format, arguments);
	va_end(arguments);
	return -1;
}

/* Finds an item and marks it as read. */
static int
find_item(struct minivmm_reader *reader, const char *name, struct record *item)
{
	struct level *level = &reader->levels[reader->depth];
	size_t position = 0;

	for (size_t i = 0; record_next(&level->group, &position, item) && i < ITEMS_MAX; i++)
		if (record_is(item, name)) {
			level->read[i / 64] |= 1ull << i % 64;
			return 0;
		}
	return load_error(reader, "%s is missing", name);
}

/* Checks that load has read all items of the group. An unread item is state that would be lost. */
static int
check_all_read(struct minivmm_reader *reader)
{
	struct level *level = &reader->levels[reader->depth];
	struct record item;
	size_t position = 0;

	if (level->in_list && !level->position)
		return 0;
	for (size_t i = 0; record_next(&level->group, &position, &item); i++)
		if (i >= ITEMS_MAX || !(level->read[i / 64] & 1ull << i % 64))
			return load_error(reader, "%.*s is unknown", item.name_length, item.name);
	return 0;
}

static int
get(struct minivmm_reader *reader, const char *name, uint32_t type, void *values, size_t maximum,
    size_t *count)
{
	struct record item;

	if (find_item(reader, name, &item))
		return -1;
	if (item.type != type || item.array != (count != NULL))
		return load_error(reader, "%s has the wrong type", name);
	if (item.count > maximum)
		return load_error(reader, "%s has %u elements, at most %zu fit", name, item.count,
				  maximum);
	memcpy(values, item.data, item.count * record_width((enum record_type)type));
	if (count)
		*count = item.count;
	return 0;
}

static int
get_begin(struct minivmm_reader *reader, const char *name, size_t *elements)
{
	struct level *level;
	struct record item;

	if (find_item(reader, name, &item))
		return -1;
	if (item.type != RECORD_GROUP && item.type != RECORD_LIST)
		return load_error(reader, "%s is neither a group nor a list", name);
	if (reader->depth + 1 == RECORD_DEPTH)
		return load_error(reader, "%s is nested too deep", name);
	level = &reader->levels[++reader->depth];
	*level = (struct level){ .group = item, .list = item, .in_list = item.type == RECORD_LIST };
	if (elements)
		*elements = level->in_list ? record_elements(&item) : 1;
	return 0;
}

static int
get_next(struct minivmm_reader *reader)
{
	struct level *level = &reader->levels[reader->depth];

	if (!level->in_list)
		return load_error(reader, "load has called minivmm_get_next() outside a list");
	if (check_all_read(reader))
		return -1;
	memset(level->read, 0, sizeof(level->read));
	if (!record_next(&level->list, &level->position, &level->group))
		return load_error(reader, "the list has no more elements");
	return 0;
}

static int
get_end(struct minivmm_reader *reader)
{
	int r = check_all_read(reader);

	if (!reader->depth)
		return load_error(reader, "load has called minivmm_get_end() outside a group");
	reader->depth--;
	return r;
}

static int
save_fields(struct minivmm_device *public, struct minivmm_writer *writer)
{
	struct device *d = (struct device *)public;
	const struct minivmm_field *rows = d->plugin.descriptor.fields;
	const struct minivmm_field *row;
	uint64_t value;

	if (!rows)
		return 0;
	/* A restore would refuse this value: write no snapshot. */
	row = fields_find_invalid(rows, public->state, &value);
	if (row) {
		log_line(MINIVMM_ERROR, public->name,
			 "field %s is 0x%llx, above its maximum: the plugin is at fault", row->name,
			 (unsigned long long)value);
		atomic_store(&d->reported, true);
		return -1;
	}
	fields_save(rows, public->state, (struct record_writer *)writer);
	return 0;
}

/* fields_load() refuses unknown items, but the group of a plugin with load can contain other items:
 * passes only the items of fields. */
static int
load_fields(struct minivmm_device *public, struct minivmm_reader *reader, uint32_t version)
{
	struct device *d = (struct device *)public;
	const struct minivmm_field *rows = d->plugin.descriptor.fields;
	struct record_writer part = { 0 };
	struct record item, group;
	struct why why;
	int r = -1;

	for (const struct minivmm_field *row = rows; row && row->name; row++)
		if (record_find(&reader->levels[reader->depth].group, row->name, &item) &&
		    !find_item(reader, row->name, &item))
			record_put(&part, row->name, (enum record_type)item.type, item.data,
				   item.count, item.array);
	if (part.failed)
		load_error(reader, "no memory");
	else if (record_open(part.data, part.length, &group, &why))
		load_error(reader, "%s", why.text);
	else if (!rows)
		r = 0;
	else
		r = fields_load(rows, public->state, &group, version, reader->why);
	record_writer_free(&part);
	return r;
}

void
state_services_init(struct minivmm_services *services)
{
	services->save_fields = save_fields;
	services->load_fields = load_fields;
	services->put = put;
	services->put_begin = put_begin;
	services->put_end = put_end;
	services->get = get;
	services->get_begin = get_begin;
	services->get_next = get_next;
	services->get_end = get_end;
}

static void
save_timers(struct device *d, struct record_writer *writer)
{
	record_begin(writer, "timers", RECORD_GROUP);
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
	char text[64];
	int r;

	record_put_text(writer, "name", d->config->name);
	record_put_text(writer, "plugin", descriptor->name);
	record_put_u32(writer, "version", descriptor->state_version);
	record_begin(writer, "state", RECORD_GROUP);
	r = DEVICE_CALL(d, "save",
			(descriptor->save ? descriptor->save : save_fields)(
			    &d->public, (struct minivmm_writer *)writer));
	record_end(writer);
	save_timers(d, writer);
	record_begin(writer, "streams", RECORD_GROUP);
	for (uint32_t i = 0; i < d->plugin.stream_count; i++) {
		record_begin(writer, descriptor->streams[i].name, RECORD_GROUP);
		stream_save(&d->streams[i].stream, writer);
		record_end(writer);
	}
	record_end(writer);
	record_put(writer, "random", RECORD_U64, d->random, 4, true);
	return r < 0 ? fail(STATUS_IO, "device %s (plugin %s): %s: no snapshot is written",
			    d->config->name, descriptor->name,
			    device_failure(d, "save", text, sizeof(text)))
		     : 0;
}

/* Finds a group by name inside another group. */
static int
group_of(const struct record *group, const char *name, struct record *item, struct why *why)
{
	if (record_find(group, name, item) && item->type == RECORD_GROUP)
		return 0;
	return why_set(why, "%s is missing", name);
}

static int
load_timers(struct device *d, const struct record *group, struct why *why)
{
	struct saved_timer saved;
	struct record timers, timer;

	if (group_of(group, "timers", &timers, why))
		return -1;
	for (uint32_t i = 0; i < d->plugin.timer_count; i++) {
		const char *name = d->plugin.descriptor.timers[i].name;

		if (group_of(&timers, name, &timer, why))
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
load_streams(struct device *d, const struct record *group, struct why *why)
{
	struct record streams, stream;
	struct config_option *input;

	if (group_of(group, "streams", &streams, why))
		return -1;
	for (uint32_t i = 0; i < d->plugin.stream_count; i++) {
		const char *name = d->plugin.descriptor.streams[i].name;

		if (group_of(&streams, name, &stream, why))
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

static int
load_state(struct device *d, const struct record *group, struct why *why)
{
	const struct minivmm_plugin *descriptor = &d->plugin.descriptor;
	struct minivmm_reader reader = { .why = why };
	const char *callback = "load";
	uint64_t version;
	char text[64];
	int r;

	errno = 0;
	why_clear(why);
	if (group_of(group, "state", &reader.levels[0].group, why))
		return -1;
	if (!record_get_u64(group, "version", &version) || !version ||
	    version > descriptor->state_version)
		return why_set(why,
			       "its state has version %llu, plugin %s reads up to %u: use the "
			       "plugin that saved it",
			       (unsigned long long)version, descriptor->name,
			       descriptor->state_version);
	if (descriptor->load) {
		r = DEVICE_CALL(d, "load",
				descriptor->load(&d->public, &reader, (uint32_t)version));
		if (r >= 0 && reader.depth)
			r = load_error(&reader,
				       "load has not ended a group with minivmm_get_end()");
		r = r < 0 ? -1 : check_all_read(&reader);
	} else if (descriptor->fields)
		r = fields_load(descriptor->fields, d->public.state, &reader.levels[0].group,
				(uint32_t)version, why);
	else
		r = check_all_read(&reader);
	if (r >= 0 && descriptor->loaded) {
		callback = "loaded";
		r = DEVICE_CALL(d, callback, descriptor->loaded(&d->public));
	}
	if (r >= 0)
		return 0;
	if (!why->text[0])
		why_set(why, "%s", device_failure(d, callback, text, sizeof(text)));
	why_set_error(why, errno); /* the only way for a plugin to report a lack of memory */
	return -1;
}

static int
load_all(struct device *d, const struct record *group, struct why *why)
{
	struct record random;

	/* A reset cancels pending posts. */
	for (uint32_t i = 0; i < d->plugin.post_count; i++)
		loop_deferred_remove(&d->all->machine->loop, &d->posts[i].deferred);
	if (load_state(d, group, why) || load_timers(d, group, why) || load_streams(d, group, why))
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
