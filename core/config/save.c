/* SPDX-License-Identifier: BSD-2-Clause */
/* The config as records. What a load is given is untrusted: all of it is checked. */
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"

#define DEVICES_MAX INI_SECTIONS_MAX
#define LOADED_SET CONFIG_SET " of the run that made the snapshot"

/* A loaded path must mean the same in any folder. */
static void
put_path(struct record_writer *writer, const char *name, const char *path)
{
	char full[PATH_MAX];

	record_put_text(writer, name, realpath(path, full) ? full : path);
}

static void
save_options(const struct config_device *device, bool set, const char *name,
	     struct record_writer *writer)
{
	record_begin(writer, name, RECORD_GROUP);
	for (size_t i = 0; i < device->option_count; i++) {
		const struct config_option *option = &device->options[i];

		if (schema_is_set(option->place) == set)
			record_put_text(writer, option->key, option->value);
	}
	record_end(writer);
}

static void
save_vm(const struct config *config, struct record_writer *writer)
{
	for (const struct schema_key *row = schema; row->section; row++) {
		const void *member = (const char *)config + row->offset;

		if (strcmp(row->section, "vm"))
			continue;
		if (row->kind == SCHEMA_COUNT)
			record_put(writer, row->name, RECORD_U32, member, 1, false);
		else if (row->kind == SCHEMA_BOOL)
			record_put(writer, row->name, RECORD_BOOL, member, 1, false);
		else if (row->kind < SCHEMA_COUNT)
			record_put(writer, row->name, RECORD_U64, member, 1, false);
		/* No texts: memory_file is how memory is kept, not what it is. */
	}
}

void
config_save(const struct config *config, struct record_writer *writer)
{
	record_begin(writer, "vm", RECORD_GROUP);
	save_vm(config, writer);
	record_end(writer);
	put_path(writer, "folder", config->folder ? config->folder : ".");
	record_begin(writer, "devices", RECORD_LIST);
	for (size_t i = 0; i < config->device_count; i++) {
		const struct config_device *device = &config->devices[i];

		record_begin(writer, NULL, RECORD_GROUP);
		record_put_text(writer, "name", device->name);
		if (strchr(device->plugin, '/'))
			put_path(writer, "plugin", device->plugin);
		else
			record_put_text(writer, "plugin", device->plugin);
		save_options(device, false, "options", writer);
		save_options(device, true, "set", writer);
		record_end(writer);
	}
	record_end(writer);
}

struct loading {
	struct config *config;
	char *why;
	size_t why_size;
};

__attribute__((format(printf, 2, 3))) static int
refuse(const struct loading *l, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(l->why, l->why_size, format, arguments);
	va_end(arguments);
	return -1;
}

/* A text of the group, malloced; NULL: refused. */
static char *
get_text(const struct loading *l, const struct record *group, const char *name)
{
	char *text;

	if (record_get_text(group, name, &text))
		return text;
	refuse(l, "%s is missing or no text", name);
	return NULL;
}

/* Each item must have one of the names. */
static int
check_names(const struct loading *l, const struct record *group, const char *const *names)
{
	size_t position = 0;
	struct record item;

	while (record_next(group, &position, &item)) {
		size_t i = 0;

		while (names[i] && !record_is(&item, names[i]))
			i++;
		if (!names[i])
			return refuse(l, "%.*s is unknown", item.name_length, item.name);
	}
	return 0;
}

static int
load_vm_key(const struct loading *l, const struct record *item)
{
	const struct schema_key *row = schema;
	char buffer[128];
	const char *wrong;
	uint64_t value;
	uint8_t type;

	while (row->section && (strcmp(row->section, "vm") || !record_is(item, row->name)))
		row++;
	type = row->kind == SCHEMA_COUNT  ? RECORD_U32
	       : row->kind == SCHEMA_BOOL ? RECORD_BOOL
					  : RECORD_U64;
	if (!row->section || row->kind > SCHEMA_BOOL)
		return refuse(l, "vm.%.*s is unknown", item->name_length, item->name);
	if (item->type != type || item->array)
		return refuse(l, "vm.%s is of another type", row->name);
	value = record_number(item, 0);
	wrong = row->kind == SCHEMA_BOOL ? NULL : schema_check(row, value, buffer, sizeof(buffer));
	if (wrong)
		return refuse(l, "vm.%s, 0x%llx, %s", row->name, (unsigned long long)value, wrong);
	memcpy((char *)l->config + row->offset, &value, record_width((enum record_type)type));
	return 0;
}

static int
load_vm(const struct loading *l, const struct record *vm)
{
	size_t position = 0;
	struct record item;
	const char *wrong;

	for (const struct schema_key *row = schema; row->section; row++)
		if (!strcmp(row->section, "vm") && row->kind <= SCHEMA_BOOL &&
		    !record_find(vm, row->name, &item))
			return refuse(l, "vm.%s is missing", row->name);
	while (record_next(vm, &position, &item))
		if (load_vm_key(l, &item))
			return -1;
	wrong = schema_check_memory(l->config);
	if (wrong)
		return refuse(l, "its memory %s", wrong);
	wrong = schema_check_cpus(l->config->vm.cpus, l->config->vm.irqchip);
	return wrong ? refuse(l, "it %s", wrong) : 0;
}

static int
load_options(const struct loading *l, struct config_device *device, const struct record *from,
	     const char *name, const char *file)
{
	struct record group, item;
	size_t position = 0;

	if (!record_find(from, name, &group) || group.type != RECORD_GROUP)
		return refuse(l, "device %s: %s is missing or no group", device->name, name);
	while (record_next(&group, &position, &item)) {
		char key[UINT8_MAX + 1], *value;
		int r;

		if (device->option_count == INI_KEYS_MAX)
			return refuse(l, "device %s has more than %u options", device->name,
				      INI_KEYS_MAX);
		snprintf(key, sizeof(key), "%.*s", item.name_length, item.name);
		if (config_option_find(device, key))
			return refuse(l, "device %s has %s twice", device->name, key);
		if (item.type != RECORD_TEXT)
			return refuse(l, "%s is no text", key);
		value = strndup((const char *)item.data, item.count);
		if (!value)
			return refuse(l, "no memory");
		r = config_option_set(device, key, value, (struct config_place){ .file = file });
		free(value);
		if (r)
			return refuse(l, "no memory");
	}
	return 0;
}

static int
load_device(const struct loading *l, const struct record *from)
{
	static const char *const names[] = { "name", "plugin", "options", "set", NULL };
	struct config_place place = { .file = l->config->file };
	struct config_device *device;
	char *name;

	if (check_names(l, from, names))
		return -1;
	if (l->config->device_count == DEVICES_MAX)
		return refuse(l, "it has more than %u devices", DEVICES_MAX);
	name = get_text(l, from, "name");
	if (!name)
		return -1;
	if (!schema_device_name(name) || config_device_find(l->config, name)) {
		refuse(l, "%.64s is no name for a device, or there twice", name);
		free(name);
		return -1;
	}
	device = config_device_add(l->config, name, place);
	free(name);
	if (!device)
		return refuse(l, "no memory");
	device->plugin = get_text(l, from, "plugin");
	if (!device->plugin)
		return -1;
	if (!*device->plugin)
		return refuse(l, "device %s has no plugin", device->name);
	return load_options(l, device, from, "options", l->config->file) ||
		       load_options(l, device, from, "set", LOADED_SET)
		   ? -1
		   : 0;
}

int
config_load(struct config *config, const struct record *group, char *why, size_t why_size)
{
	static const char *const names[] = { "vm", "folder", "devices", NULL };
	struct loading l = { .config = config, .why = why, .why_size = why_size };
	struct record vm, devices, device;
	size_t position = 0;

	config_init(config);
	config->file = strdup("the snapshot's config");
	if (!config->file)
		return refuse(&l, "no memory");
	config->vm.place = config->boot.place = config->snapshot.place =
	    (struct config_place){ config->file, 0 };
	if (check_names(&l, group, names))
		return -1;
	if (!record_find(group, "vm", &vm) || vm.type != RECORD_GROUP)
		return refuse(&l, "vm is missing or no group");
	if (load_vm(&l, &vm))
		return -1;
	config->folder = get_text(&l, group, "folder");
	if (!config->folder)
		return -1;
	if (!record_find(group, "devices", &devices) || devices.type != RECORD_LIST)
		return refuse(&l, "devices is missing or no list");
	while (record_next(&devices, &position, &device))
		if (load_device(&l, &device))
			return -1;
	return 0;
}
