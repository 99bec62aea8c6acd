/* SPDX-License-Identifier: BSD-2-Clause */
/* The values of a plugin's state: its table of fields, its save and load, and the services that
 * these call. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "base/log.h"
#include "device/device.h"
#include "device/device_state.h"

/* An open group or list in a plugin's load. */
struct level {
	struct record_lookup items; /* of the group, or of the element of the list */
	struct record list;
	bool in_list;
	size_t position;                  /* of the next element in list */
	uint64_t read[RECORD_ITEMS / 64]; /* bit i: load has read item i of the group */
};

struct minivmm_reader {
	struct level levels[RECORD_DEPTH];
	unsigned depth;
	struct why *why;
};

struct minivmm_writer {
	struct record_writer *record;
	unsigned depth; /* of the group in which save is called */
};

/* The device whose save or load runs on this thread and may call the service; NULL: refused. */
static struct device *
caller(size_t service)
{
	struct minivmm_device *public = bus_current.callback ? bus_current.device : NULL;

	if (public)
		return service_enter(public, service) ? device_from(public) : NULL;
	log_line(MINIVMM_ERROR, NULL,
		 "a thread of a plugin calls a service for save and load, outside of a callback: "
		 "the plugin is at fault");
	return NULL;
}

/* The writer's record; NULL: refused. */
static struct record_writer *
record_of(struct minivmm_writer *writer, size_t service)
{
	struct device *d = caller(service);

	if (!d)
		return NULL;
	if (writer && writer == d->writer)
		return writer->record;
	service_refuse(&d->host.public, service, "the writer is not the one of this save");
	return NULL;
}

/* Checks the reader. */
static bool
is_reader(struct minivmm_reader *reader, size_t service)
{
	struct device *d = caller(service);

	if (d && (!reader || reader != d->reader))
		service_refuse(&d->host.public, service, "the reader is not the one of this load");
	return d && reader && reader == d->reader;
}

/* The result of a put. Reports the first failure, which is sticky. */
static int
put_result(const struct record_writer *w, bool failed_before, size_t service, const char *name)
{
	if (w->failed && !failed_before && !w->no_memory)
		service_refuse(bus_current.device, service,
			       "%.64s cannot be saved: names are 1 to 255 characters without "
			       "blanks, distinct, at most %u in a group; groups nest up to %d "
			       "deep; an array has a number's type",
			       name ? name : "a value without name", RECORD_ITEMS,
			       RECORD_DEPTH - 1);
	return w->failed ? -1 : 0;
}

static int
put(struct minivmm_writer *writer, const char *name, uint32_t type, const void *values,
    size_t count, bool array)
{
	struct record_writer *w = record_of(writer, SERVICE(put));
	bool failed = w && w->failed;

	if (!w)
		return -1;
	if (type < MINIVMM_U8 || type > MINIVMM_BOOL)
		record_fail(w, false);
	else
		record_put(w, name, (enum record_type)type, values, count, array);
	return put_result(w, failed, SERVICE(put), name);
}

static int
put_begin(struct minivmm_writer *writer, const char *name, bool list)
{
	struct record_writer *w = record_of(writer, SERVICE(put_begin));
	bool failed = w && w->failed;

	if (!w)
		return -1;
	record_begin(w, name, list ? RECORD_LIST : RECORD_GROUP);
	return put_result(w, failed, SERVICE(put_begin), name);
}

static int
put_end(struct minivmm_writer *writer)
{
	struct record_writer *w = record_of(writer, SERVICE(put_end));

	if (!w || w->failed)
		return -1;
	if (w->depth == writer->depth) {
		service_refuse(bus_current.device, SERVICE(put_end), "no group is open");
		record_fail(w, false);
		return -1;
	}
	record_end(w);
	return put_result(w, false, SERVICE(put_end), "a value of the group");
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

/* Finds an item and marks it as read; false: it is missing. */
static bool
seek_item(struct minivmm_reader *reader, const char *name, struct record *item)
{
	struct level *level = &reader->levels[reader->depth];
	uint32_t i;

	if (!record_lookup_find(&level->items, name, strlen(name), item))
		return false;
	i = level->items.count - 1;
	level->read[i / 64] |= 1ull << i % 64;
	return true;
}

static int
find_item(struct minivmm_reader *reader, const char *name, struct record *item)
{
	return seek_item(reader, name, item) ? 0 : load_error(reader, "%s is missing", name);
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
	for (size_t i = 0; record_next(&level->items.group, &position, &item); i++)
		if (!(level->read[i / 64] & 1ull << i % 64))
			return load_error(reader, "%.*s is unknown", item.name_length, item.name);
	return 0;
}

static int
get(struct minivmm_reader *reader, const char *name, uint32_t type, void *values, size_t maximum,
    size_t *count)
{
	struct record item;

	if (!is_reader(reader, SERVICE(get)) || find_item(reader, name, &item))
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

static void
open_level(struct level *level, const struct record *item)
{
	*level = (struct level){ .list = *item, .in_list = item->type == RECORD_LIST };
	record_lookup_open(&level->items, item);
}

static int
get_begin(struct minivmm_reader *reader, const char *name, size_t *elements)
{
	struct level *level;
	struct record item;

	if (!is_reader(reader, SERVICE(get_begin)) || find_item(reader, name, &item))
		return -1;
	if (item.type != RECORD_GROUP && item.type != RECORD_LIST)
		return load_error(reader, "%s is neither a group nor a list", name);
	if (reader->depth + 1 == RECORD_DEPTH)
		return load_error(reader, "%s is nested too deep", name);
	level = &reader->levels[++reader->depth];
	open_level(level, &item);
	if (elements)
		*elements = level->in_list ? record_elements(&item) : 1;
	return 0;
}

static int
get_next(struct minivmm_reader *reader)
{
	struct level *level;
	struct record element;

	if (!is_reader(reader, SERVICE(get_next)))
		return -1;
	level = &reader->levels[reader->depth];
	if (!level->in_list)
		return load_error(reader, "load has called minivmm_get_next() outside a list");
	if (check_all_read(reader))
		return -1;
	memset(level->read, 0, sizeof(level->read));
	if (!record_next(&level->list, &level->position, &element))
		return load_error(reader, "the list has no more elements");
	record_lookup_close(&level->items);
	record_lookup_open(&level->items, &element);
	return 0;
}

static int
get_end(struct minivmm_reader *reader)
{
	int r;

	if (!is_reader(reader, SERVICE(get_end)))
		return -1;
	if (!reader->depth)
		return load_error(reader, "load has called minivmm_get_end() outside a group");
	r = check_all_read(reader);
	record_lookup_close(&reader->levels[reader->depth--].items);
	return r;
}

/* Saves the table of fields, or nothing if the device has none. */
static int
put_fields(struct device *d, struct record_writer *w)
{
	const struct minivmm_field *rows = d->plugin.descriptor.fields, *row;
	uint64_t value;

	if (!rows)
		return 0;
	/* A restore would refuse this value: write no snapshot. */
	row = fields_find_invalid(rows, d->host.public.state, &value);
	if (row) {
		service_error(&d->host,
			      "field %s is 0x%llx, above its maximum: the plugin is at fault",
			      row->name, (unsigned long long)value);
		return -1;
	}
	fields_save(rows, d->host.public.state, w);
	return 0;
}

static int
save_fields(struct minivmm_device *public, struct minivmm_writer *writer)
{
	struct record_writer *w = service_enter(public, SERVICE(save_fields))
				      ? record_of(writer, SERVICE(save_fields))
				      : NULL;

	return w && public == bus_current.device ? put_fields(device_from(public), w) : -1;
}

/* The group of a plugin with load can contain other items, too, which load reads by itself. */
static int
load_fields(struct minivmm_device *public, struct minivmm_reader *reader, uint32_t version)
{
	const struct minivmm_field *rows;
	struct record item;

	if (!service_enter(public, SERVICE(load_fields)) ||
	    !is_reader(reader, SERVICE(load_fields)) || public != bus_current.device)
		return -1;
	rows = device_from(public)->plugin.descriptor.fields;
	for (const struct minivmm_field *row = rows; row && row->name; row++)
		seek_item(reader, row->name, &item);
	return rows ? fields_load_part(rows, public->state,
				       &reader->levels[reader->depth].items.group, version,
				       reader->why)
		    : 0;
}

#define SAVING(member, function, text) SERVICE_ROW(member, function, text, SERVICE_SAVE, SERVICE_IO)
#define LOADING(member, function, text)                                                            \
	SERVICE_ROW(member, function, text, SERVICE_LOAD, SERVICE_IO)
const struct service_set device_state_services = {
	SAVING(save_fields, save_fields, "save_fields"),
	LOADING(load_fields, load_fields, "load_fields"),
	SAVING(put, put, "put_*"),
	SAVING(put_begin, put_begin, "put_begin"),
	SAVING(put_end, put_end, "put_end"),
	LOADING(get, get, "get_*"),
	LOADING(get_begin, get_begin, "get_begin"),
	LOADING(get_next, get_next, "get_next"),
	LOADING(get_end, get_end, "get_end"),
};

int
device_plugin_state_save(struct device *d, struct record_writer *w)
{
	const struct minivmm_plugin *descriptor = &d->plugin.descriptor;
	struct minivmm_writer writer = { .record = w };
	const char *mistake = NULL;
	int r;

	record_begin(w, "state", RECORD_GROUP);
	writer.depth = w->depth;
	d->writer = &writer;
	r = DEVICE_CALL(d, CALLBACK_SAVE,
			descriptor->save ? descriptor->save(&d->host.public, &writer)
					 : put_fields(d, w));
	d->writer = NULL;
	if (r || w->failed)
		return -1;
	if (w->depth != writer.depth)
		mistake = "save has not ended a group with minivmm_put_end()";
	else {
		record_end(w);
		if (w->failed && !w->no_memory)
			mistake = "save has put two values with the same name into a group";
	}
	if (mistake)
		service_error(&d->host, "%s: plugin %s is at fault", mistake, descriptor->name);
	return mistake || w->failed ? -1 : 0;
}

/* Calls load of the plugin, if it has one, for a plugin without fields or with more than fields.
 * The levels are initialised when load opens them: that takes longer than a load of fields. */
static int
load_own(struct device *d, const struct record *state, uint32_t version, struct why *why)
{
	const struct minivmm_plugin *descriptor = &d->plugin.descriptor;
	struct minivmm_reader reader;
	int r = 0;

	reader.why = why;
	reader.depth = 0;
	open_level(&reader.levels[0], state);
	d->reader = &reader;
	if (descriptor->load)
		r = DEVICE_CALL(d, CALLBACK_LOAD,
				descriptor->load(&d->host.public, &reader, version));
	d->reader = NULL;
	if (r >= 0 && reader.depth)
		r = load_error(&reader, "load has not ended a group with minivmm_get_end()");
	r = r < 0 ? -1 : check_all_read(&reader);
	for (unsigned i = 0; i <= reader.depth; i++)
		record_lookup_close(&reader.levels[i].items);
	return r;
}

int
device_plugin_state_load(struct device *d, const struct record *group, struct why *why)
{
	const struct minivmm_plugin *descriptor = &d->plugin.descriptor;
	const char *callback = "load";
	struct record state;
	uint64_t version;
	char text[64];
	int r;

	errno = 0;
	why_clear(why);
	if (!record_find(group, "state", &state) || state.type != RECORD_GROUP)
		return why_set(why, "state is missing");
	if (!record_get_u64(group, "version", &version) || !version ||
	    version > descriptor->state_version)
		return why_set(why,
			       "its state has version %llu, plugin %s reads up to %u: use the "
			       "plugin that saved it",
			       (unsigned long long)version, descriptor->name,
			       descriptor->state_version);
	if (descriptor->load || !descriptor->fields)
		r = load_own(d, &state, (uint32_t)version, why);
	else
		r = DEVICE_CALL(d, CALLBACK_LOAD,
				fields_load(descriptor->fields, d->host.public.state, &state,
					    (uint32_t)version, why));
	if (r >= 0 && descriptor->loaded) {
		callback = "loaded";
		r = DEVICE_CALL(d, CALLBACK_LOADED, descriptor->loaded(&d->host.public));
	}
	if (r >= 0)
		return 0;
	if (!why->text[0])
		why_set(why, "%s", device_failure(d, callback, text, sizeof(text)));
	why_set_error(why, errno); /* the only way for a plugin to report a lack of memory */
	return -1;
}
