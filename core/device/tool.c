/* SPDX-License-Identifier: BSD-2-Clause */
/* Creates tools, and passes events and calls between them and the VM. */
#include "device/tool.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

int
tool_create(struct devices *tool, const struct devices *beside, struct config *config,
	    const struct minivmm_machine *functions)
{
	char where[256], prefix[260];
	bool refused = false;
	struct device *d;
	int r;

	r = devices_init(tool, beside->machine, config, DEVICES_TOOL);
	tool->functions = functions;
	tool->streams.always = true;
	/* Two cannot use the same descriptor. */
	tool->streams.stdin_owner = beside->streams.stdin_owner;
	tool->streams.stdout_owner = beside->streams.stdout_owner;
	if (!r)
		r = plugin_path_init(&tool->path, config->plugin_path);
	if (r)
		return r;
	tool->count = 1;
	d = &tool->list[0];
	d->all = tool;
	d->host.gate = &tool->gates[0];
	d->config = &config->devices[0];
	snprintf(prefix, sizeof(prefix),
		 "%s: ", config_where(d->config->plugin_place, where, sizeof(where)));
	r = plugin_load(&d->plugin, &tool->path, d->config->plugin, prefix);
	if (!r && !d->plugin.descriptor.tool)
		r = fail(STATUS_USAGE,
			 "%splugin %s is a device, not a tool: name it in a section [device %s]",
			 prefix, d->plugin.descriptor.name, d->config->name);
	return r ? r : device_create(d, 0, NULL, NULL, &refused);
}

void
tool_event(struct devices *tool, const struct minivmm_event *event)
{
	struct device *d = &tool->list[0];

	if (!d->started)
		return;
	if (DEVICE_CALL(d, CALLBACK_EVENT, d->plugin.tool.event(&d->host.public, event)) < 0)
		device_failed(d, "event", STATUS_PLUGIN);
}

struct devices *
tool_enter(struct minivmm_device *dev, const char *function)
{
	const struct service row = { function, SERVICE_START_TO_STOP, SERVICE_IO };

	return service_enter_row(dev, &row) ? device_from(dev)->all : NULL;
}
