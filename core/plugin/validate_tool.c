/* SPDX-License-Identifier: BSD-2-Clause */
/* Validates and copies what makes a plugin a tool. */
#include <string.h>

#include "minivmm/tool.h"
#include "plugin/adopt.h"

/* What only a device can have; NULL: the tool has none of it. */
static const char *
of_devices(const struct plugin *p)
{
	const struct minivmm_plugin *d = &p->descriptor;

	return p->range_count       ? "ranges"
	       : p->field_count     ? "fields"
	       : p->acpi_count      ? "acpi"
	       : p->pci_count       ? "pci"
	       : d->pause           ? "pause"
	       : d->resume          ? "resume"
	       : d->capture         ? "capture"
	       : d->save || d->load ? "save or load"
	       : d->loaded          ? "loaded"
	       : d->connect         ? "connect"
				    : NULL;
}

int
adopt_tool(struct adoption *a)
{
	const size_t least = offsetof(struct minivmm_tool, event) + sizeof(a->plugin->tool.event);
	const struct minivmm_tool *tool = a->plugin->descriptor.tool;
	const char *other;
	uint32_t size;

	if (!tool)
		return 0;
	size = adopt_loaded(tool) >= least ? tool->size : 0;
	if (size < least || adopt_loaded(tool) < size)
		return why_set(a->why, "its tool is not in its file, or tool.size is not "
				       "sizeof(struct minivmm_tool)");
	for (size_t i = sizeof(*tool); i < size; i++)
		if (((const uint8_t *)tool)[i])
			return why_set(a->why,
				       "it needs a newer minivmm: tool uses a member at byte %zu, "
				       "but this minivmm knows %zu bytes; update minivmm",
				       i, sizeof(*tool));
	memcpy(&a->plugin->tool, tool, size < sizeof(*tool) ? size : sizeof(*tool));
	if (!tool->event)
		return why_set(a->why, "it is a tool without an event");
	other = of_devices(a->plugin);
	return other
		   ? why_set(a->why, "it is a tool and has %s, which only a device can have", other)
		   : 0;
}
