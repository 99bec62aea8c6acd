/* SPDX-License-Identifier: BSD-2-Clause */
/* The host files that a device uses. */
#include "device/device.h"

void
device_each_file(const struct device *device,
		 void (*found)(void *context, const char *path, enum device_file kind),
		 void *context)
{
	const struct config_device *config = device->config;

	found(context, device->plugin.path, DEVICE_FILE_READ);
	for (uint32_t i = 0; i < device->streams_ready; i++) {
		found(context, stream_file(&device->streams[i].stream.in), DEVICE_FILE_READ);
		found(context, stream_file(&device->streams[i].stream.out), DEVICE_FILE_WRITTEN);
	}
	for (uint32_t i = 0; device->configured && i < device->plugin.option_count; i++) {
		const struct minivmm_option *o = &device->plugin.descriptor.options[i];
		const void *value = (char *)device->host.public.state + o->offset;

		if (o->type == MINIVMM_PATH)
			found(context, *(const char *const *)value, DEVICE_FILE_READ);
		else if (o->type == MINIVMM_STRING && (o->flags & MINIVMM_HOST))
			found(context, *(const char *const *)value, DEVICE_FILE_LIST);
	}
	/* Options that minivmm_option_set() has changed, like the layers of a disk. */
	for (size_t i = 0; i < config->option_count; i++) {
		const struct config_option *option = &config->options[i];
		const struct plugin_option *o = device_option(device, option->key);

		if (o && o->row.type == MINIVMM_STRING && (o->row.flags & MINIVMM_HOST))
			found(context, option->value, DEVICE_FILE_LIST);
	}
}

bool
device_has_output(const struct device *device)
{
	const struct minivmm_plugin *descriptor = &device->plugin.descriptor;

	for (uint32_t i = 0; i < device->plugin.stream_count; i++)
		if (descriptor->streams[i].output)
			return true;
	return !descriptor->name;
}
