/* SPDX-License-Identifier: BSD-2-Clause */
/* The config as records. A loaded record is untrusted: everything in it is checked. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "config/schema.h"

#define DEVICES_MAX INI_SECTIONS_MAX
#define LOADED_SET CONFIG_SET " of the run that made the snapshot"

/* Saves an absolute path if possible: a restore may run in another directory. found: that path, or
 * NULL. */
static void
put_path(struct record_writer *writer, const char *name, const char *path, const char *found)
{
	char full[PATH_MAX];

	if (!found)
		found = realpath(path, full);
	record_put_text(writer, name, found ? found : path);
}

static const char *
folder_of(const struct config *config)
{
	return config->folder ? config->folder : ".";
}

/* A path that does not exist stays as it is. */
static void
find(const char *path, char **found)
{
	free(*found);
	*found = realpath(path, NULL);
	if (!*found)
		*found = strdup(path);
}

void
config_find_paths(struct config *config)
{
	find(folder_of(config), &config->folder_path);
	for (size_t i = 0; i < config->device_count; i++)
		if (strchr(config->devices[i].plugin, '/'))
			find(config->devices[i].plugin, &config->devices[i].plugin_path);
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
		/* No texts: memory_file does not affect the guest. */
	}
}

void
config_save(const struct config *config, struct record_writer *writer)
{
	record_begin(writer, "vm", RECORD_GROUP);
	save_vm(config, writer);
	record_end(writer);
	put_path(writer, "folder", folder_of(config), config->folder_path);
	record_begin(writer, "devices", RECORD_LIST);
	for (size_t i = 0; i < config->device_count; i++) {
		const struct config_device *device = &config->devices[i];

		record_begin(writer, NULL, RECORD_GROUP);
		record_put_text(writer, "name", device->name);
		if (strchr(device->plugin, '/'))
			put_path(writer, "plugin", device->plugin, device->plugin_path);
		else
			record_put_text(writer, "plugin", device->plugin);
		save_options(device, false, "options", writer);
		save_options(device, true, "set", writer);
		record_end(writer);
	}
	record_end(writer);
}

static int
load_vm_key(struct config *config, const struct record *item, struct why *why)
{
	const struct schema_key *row = schema;
	uint64_t value;
	uint8_t type;

	while (row->section && (strcmp(row->section, "vm") || !record_is(item, row->name)))
		row++;
	type = row->kind == SCHEMA_COUNT  ? RECORD_U32
	       : row->kind == SCHEMA_BOOL ? RECORD_BOOL
					  : RECORD_U64;
	if (!row->section || row->kind > SCHEMA_BOOL)
		return why_set(why, "vm.%.*s is unknown", item->name_length, item->name);
	if (item->type != type || item->array)
		return why_set(why, "vm.%s has the wrong type", row->name);
	value = record_number(item, 0);
	if (row->kind != SCHEMA_BOOL && schema_check(row, value, why))
		return why_prefix(why, "vm.%s, 0x%llx, ", row->name, (unsigned long long)value);
	memcpy((char *)config + row->offset, &value, record_width((enum record_type)type));
	return 0;
}

static int
load_vm(struct config *config, const struct record *vm, struct why *why)
{
	size_t position = 0;
	struct record item;

	for (const struct schema_key *row = schema; row->section; row++)
		if (!strcmp(row->section, "vm") && row->kind <= SCHEMA_BOOL &&
		    !record_find(vm, row->name, &item))
			return why_set(why, "vm.%s is missing", row->name);
	while (record_next(vm, &position, &item))
		if (load_vm_key(config, &item, why))
			return -1;
	if (schema_check_memory(config, why))
		return why_prefix(why, "its memory ");
	if (schema_check_cpus(config->vm.cpus, config->vm.irqchip, why))
		return why_prefix(why, "it ");
	return 0;
}

static int
load_option(struct config_device *device, const struct record *item, const char *file,
	    struct why *why)
{
	char key[UINT8_MAX + 1], *value;
	int r;

	if (device->option_count == INI_KEYS_MAX)
		return why_set(why, "device %s has more than %u options", device->name,
			       INI_KEYS_MAX);
	snprintf(key, sizeof(key), "%.*s", item->name_length, item->name);
	if (item->type != RECORD_TEXT)
		return why_set(why, "%s is not a text", key);
	value = strndup((const char *)item->data, item->count);
	r = value ? config_option_add(device, key, value, (struct config_place){ .file = file })
		  : -1;
	free(value);
	return r ? why_no_memory(why) : 0;
}

/* Loads the options of the INI file, then those of --set. The names in one group are distinct. */
static int
load_options(struct config *config, struct config_device *device, const struct record *from,
	     struct why *why)
{
	struct record options, set, item, other;
	struct record_index index = { .count = 0 };
	size_t position = 0;
	int r = 0;

	if (!record_find(from, "options", &options) || options.type != RECORD_GROUP)
		return why_set(why, "device %s: options is missing or is not a group",
			       device->name);
	if (!record_find(from, "set", &set) || set.type != RECORD_GROUP)
		return why_set(why, "device %s: set is missing or is not a group", device->name);
	while (!r && record_next(&options, &position, &item))
		r = load_option(device, &item, config->file, why);
	if (!r && record_index_open(&index, &options))
		return why_no_memory(why);
	position = 0;
	while (!r && record_next(&set, &position, &item))
		r = record_index_find(&index, item.name, item.name_length, &other)
			? why_set(why, "device %s has %.*s twice", device->name, item.name_length,
				  item.name)
			: load_option(device, &item, LOADED_SET, why);
	record_index_free(&index);
	return r;
}

static int
load_device(struct config *config, const struct record *from, struct why *why)
{
	static const char *const names[] = { "name", "plugin", "options", "set", NULL };
	struct config_place place = { .file = config->file };
	struct config_device *device;
	char *name;

	if (record_only(from, names, why))
		return -1;
	if (config->device_count == DEVICES_MAX)
		return why_set(why, "it has more than %u devices", DEVICES_MAX);
	if (record_copy_text(from, "name", &name, why))
		return -1;
	if (!schema_device_name(name)) {
		why_set(why, "the device name %.64s is invalid or duplicate", name);
		free(name);
		return -1;
	}
	device = config_device_add(config, name, place);
	free(name);
	if (!device)
		return why_no_memory(why);
	if (record_copy_text(from, "plugin", &device->plugin, why))
		return -1;
	if (!*device->plugin)
		return why_set(why, "device %s has no plugin", device->name);
	return load_options(config, device, from, why);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Refuses two devices of one name. Sorts: a file can have many. */
static int
check_device_names(const struct config *config, struct why *why)
{
	const char **names = calloc(config->device_count + 1, sizeof(*names));
	int r = 0;

	if (!names)
		return why_no_memory(why);
	for (size_t i = 0; i < config->device_count; i++)
		names[i] = config->devices[i].name;
	qsort(names, config->device_count, sizeof(*names), by_text);
	for (size_t i = 1; i < config->device_count && !r; i++)
		if (!strcmp(names[i - 1], names[i]))
			r = why_set(why, "the device name %.64s is invalid or duplicate", names[i]);
	free(names);
	return r;
}

int
config_load(struct config *config, const struct record *group, struct why *why)
{
	static const char *const names[] = { "vm", "folder", "devices", NULL };
	struct record vm, devices, device;
	size_t position = 0;

	config_init(config);
	config->file = strdup("the snapshot's config");
	if (!config->file)
		return why_no_memory(why);
	config->vm.place = config->boot.place = config->snapshot.place =
	    (struct config_place){ config->file, 0 };
	if (record_only(group, names, why))
		return -1;
	if (!record_find(group, "vm", &vm) || vm.type != RECORD_GROUP)
		return why_set(why, "vm is missing or is not a group");
	if (load_vm(config, &vm, why))
		return -1;
	if (record_copy_text(group, "folder", &config->folder, why))
		return -1;
	if (!record_find(group, "devices", &devices) || devices.type != RECORD_LIST)
		return why_set(why, "devices is missing or is not a list");
	while (record_next(&devices, &position, &device))
		if (load_device(config, &device, why))
			return -1;
	return check_device_names(config, why);
}
