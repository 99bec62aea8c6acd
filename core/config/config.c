/* SPDX-License-Identifier: BSD-2-Clause */
/* Construction, lookup and release of a struct config. */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "config/schema.h"

const char *
config_where(struct config_place place, char *buffer, size_t size)
{
	if (place.line)
		text_fit(buffer, size, "%s:%u", place.file, place.line);
	else
		text_fit(buffer, size, "%s", place.file);
	return buffer;
}

const char *
config_boot_where(const struct config *config, const char *key, char *buffer, size_t size)
{
	const struct {
		const char *key;
		struct config_place place;
	} places[] = { { "initrd", config->boot.initrd_place },
		       { "cmdline", config->boot.cmdline_place },
		       { "cmdline_file", config->boot.cmdline_file_place },
		       { "modules", config->boot.modules_place } };
	struct config_place place = config->boot.place;

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (!strcmp(places[i].key, key) && places[i].place.file)
			place = places[i].place;
	return place.file ? config_key_where(place, "boot", key, buffer, size) : config->file;
}

char *
config_resolve(const struct config *config, struct config_place place, const char *path)
{
	char *full;

	if (*path == '/' || !config->folder || schema_is_set(place))
		return strdup(path);
	return asprintf(&full, "%s/%s", config->folder, path) < 0 ? NULL : full;
}

struct config_device *
config_device_find(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config->device_count; i++)
		if (!strcmp(config->devices[i].name, name))
			return &config->devices[i];
	return NULL;
}

const char *
config_device_nearest(const struct config *config, const char *name)
{
	const char **names = calloc(config->device_count + 1, sizeof(*names)), *near = NULL;

	for (size_t i = 0; names && i < config->device_count; i++)
		names[i] = config->devices[i].name;
	if (names)
		near = nearest(name, names);
	free(names);
	return near;
}

struct config_option *
config_option_find(struct config_device *device, const char *key)
{
	for (size_t i = 0; i < device->option_count; i++)
		if (!strcmp(device->options[i].key, key)) {
			device->options[i].used = true;
			return &device->options[i];
		}
	return NULL;
}

int
config_option_add(struct config_device *device, const char *key, const char *value,
		  struct config_place place)
{
	struct config_option option = { .key = strdup(key), .value = strdup(value) }, *options;

	option.place = place;
	options = option.key && option.value
		      ? realloc(device->options, (device->option_count + 1) * sizeof(*options))
		      : NULL;
	if (!options) {
		free(option.key);
		free(option.value);
		return -1;
	}
	device->options = options;
	options[device->option_count++] = option;
	return 0;
}

int
config_option_set(struct config_device *device, const char *key, const char *value,
		  struct config_place place)
{
	struct config_option *option = config_option_find(device, key);
	char *copy;

	if (!option)
		return config_option_add(device, key, value, place);
	copy = strdup(value);
	if (!copy)
		return -1;
	free(option->value);
	option->value = copy;
	option->place = place;
	option->used = false;
	return 0;
}

void
config_option_replace(struct config_option *option, char *value)
{
	free(option->value);
	option->value = value;
}

static struct config_device *
add(struct config_device **list, size_t *count, const char *name, struct config_place place)
{
	struct config_device *devices = realloc(*list, (*count + 1) * sizeof(*devices)), *device;

	if (!devices)
		return NULL;
	*list = devices;
	device = &devices[*count];
	*device = (struct config_device){ .name = strdup(name), .place = place };
	if (!device->name)
		return NULL;
	device->plugin_place = place;
	++*count;
	return device;
}

struct config_device *
config_device_add(struct config *config, const char *name, struct config_place place)
{
	return add(&config->devices, &config->device_count, name, place);
}

struct config_device *
config_tool_add(struct config *config, const char *name, struct config_place place)
{
	return add(&config->tools, &config->tool_count, name, place);
}

void
config_init(struct config *config)
{
	*config = (struct config){ .vm = { .memory = 64u << 10, .cpus = 1 },
				   .boot = { .mp_table = true } };
}

static void
free_devices(struct config_device *devices, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct config_device *device = &devices[i];

		for (size_t o = 0; o < device->option_count; o++) {
			free(device->options[o].key);
			free(device->options[o].value);
		}
		free(device->options);
		free(device->name);
		free(device->plugin);
		free(device->plugin_path);
	}
	free(devices);
}

void
config_free(struct config *config)
{
	free_devices(config->devices, config->device_count);
	free_devices(config->tools, config->tool_count);
	for (size_t i = 0; i < config->cpu.register_count; i++)
		free(config->cpu.registers[i].name);
	for (size_t i = 0; i < config->module_count; i++) {
		free(config->modules[i].name);
		free(config->modules[i].file);
		free(config->modules[i].args);
	}
	free(config->modules);
	free(config->cpu.registers);
	free(config->vm.memory_file);
	free(config->boot.image);
	free(config->boot.initrd);
	free(config->boot.cmdline);
	free(config->boot.cmdline_file);
	free(config->boot.modules);
	free(config->boot.code);
	free(config->snapshot.at);
	free(config->snapshot.file);
	free(config->control.socket);
	free(config->control.name);
	free(config->plugin_path);
	free(config->folder);
	free(config->folder_path);
	free(config->file);
	*config = (struct config){ .device_count = 0 };
}
