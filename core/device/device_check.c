/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checks the saved state of devices before anything of it is loaded: by itself and against the
 * config, before a device exists; then against the plugin. An unknown item is an error everywhere:
 * it is state that a load would lose.
 */
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "device/device.h"
#include "device/device_state.h"

const struct minivmm_field saved_timer_fields[] = {
	MINIVMM_FIELD(struct saved_timer, armed),
	MINIVMM_FIELD(struct saved_timer, deadline),
	MINIVMM_FIELD(struct saved_timer, period),
	MINIVMM_END,
};

static bool
is_text(const struct record *item, const char *text)
{
	return item->count == strlen(text) && !memcmp(item->data, text, item->count);
}

/* Checks that the section is that of device index. */
static int
check_name(const struct config *config, size_t index, const struct record *name, struct why *why)
{
	if (is_text(name, config->devices[index].name))
		return 0;
	for (size_t i = 0; i < config->device_count; i++)
		if (is_text(name, config->devices[i].name))
			return why_set(why, "it is not in the order of the config");
	return why_set(why, "the config has no device %.*s",
		       name->count < 64 ? (int)name->count : 64, (const char *)name->data);
}

int
device_valid(const struct config *config, size_t index, const struct record *group, struct why *why)
{
	static const char *const names[] = { "name",   "plugin",  "version", "state",
					     "timers", "streams", "random",  NULL };
	static const uint8_t types[] = { RECORD_TEXT,  RECORD_TEXT,  RECORD_U32, RECORD_GROUP,
					 RECORD_GROUP, RECORD_GROUP, RECORD_U64 };
	struct record item;

	for (size_t i = 0; names[i]; i++)
		if (!record_find(group, names[i], &item) || item.type != types[i])
			return why_set(why, "%s is missing or has the wrong type", names[i]);
	if (item.count != 4) /* random */
		return why_set(why, "random has %u elements, expected 4", item.count);
	if (record_only(group, names, why))
		return -1;
	record_find(group, "name", &item);
	return check_name(config, index, &item, why);
}

static const char *
timer_name(const struct device *d, uint32_t i)
{
	return d->plugin.descriptor.timers[i].name;
}

static const char *
stream_name(const struct device *d, uint32_t i)
{
	return d->plugin.descriptor.streams[i].name;
}

/* Checks that the group of this name has a group for each row of a table, and nothing else. */
static int
check_rows(const struct device *d, const struct record *group, const char *name, uint32_t count,
	   const char *(*row_name)(const struct device *d, uint32_t i), struct why *why)
{
	const char **names = calloc(count + 1, sizeof(*names));
	struct record rows, row;
	int r = 0;

	if (!names)
		return why_no_memory(why);
	record_find(group, name, &rows);
	for (uint32_t i = 0; i < count && !r; i++) {
		names[i] = row_name(d, i);
		if (!record_find(&rows, names[i], &row) || row.type != RECORD_GROUP)
			r = why_set(why, "%s is missing", names[i]);
	}
	if (!r)
		r = record_only(&rows, names, why);
	free(names);
	return r ? why_prefix(why, "%s: ", name) : 0;
}

static int
check_timers(const struct device *d, const struct record *group, struct why *why)
{
	struct saved_timer saved;
	struct record timers, timer;

	if (check_rows(d, group, "timers", d->plugin.timer_count, timer_name, why))
		return -1;
	record_find(group, "timers", &timers);
	for (uint32_t i = 0; i < d->plugin.timer_count; i++)
		if (record_find(&timers, timer_name(d, i), &timer) &&
		    fields_check(saved_timer_fields, &saved, &timer, 1, why))
			return why_prefix(why, "timer %s: ", timer_name(d, i));
	return 0;
}

/* The plugin's own load checks what it reads. */
static int
check_state(const struct device *d, const struct record *group, uint32_t version, struct why *why)
{
	static const char *const none[] = { NULL };
	const struct minivmm_plugin *descriptor = &d->plugin.descriptor;
	struct record state;

	record_find(group, "state", &state);
	if (descriptor->load)
		return 0;
	if (!descriptor->fields)
		return record_only(&state, none, why);
	return fields_check(descriptor->fields, d->host.public.state, &state, version, why);
}

int
device_check(const struct device *d, const struct record *group, struct why *why)
{
	const struct minivmm_plugin *descriptor = &d->plugin.descriptor;
	struct record plugin;
	uint64_t version = 0;

	record_find(group, "plugin", &plugin);
	record_get_u64(group, "version", &version);
	if (!is_text(&plugin, descriptor->name))
		return why_set(why, "device %s was saved by plugin %.*s, but its plugin here is %s",
			       d->config->name, plugin.count < 64 ? (int)plugin.count : 64,
			       (const char *)plugin.data, descriptor->name);
	if (!version || version > descriptor->state_version)
		return why_set(
		    why,
		    "device %s has state version %llu, plugin %s (%s) reads up to %u: use a newer "
		    "plugin",
		    d->config->name, (unsigned long long)version, descriptor->name, d->plugin.path,
		    descriptor->state_version);
	if (check_state(d, group, (uint32_t)version, why) || check_timers(d, group, why) ||
	    check_rows(d, group, "streams", d->plugin.stream_count, stream_name, why))
		return why_prefix(why, "device %s (plugin %s): ", d->config->name,
				  descriptor->name);
	return 0;
}
