/* SPDX-License-Identifier: BSD-2-Clause */
/* Points that can't come, or did not. */
#include "cli/points.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static int
no_device(const struct vm *vm, const char *where, const char *text)
{
	const char *device = vm->machine.point.device;
	const char *near = config_device_nearest(&vm->config, device);

	return fail(STATUS_USAGE, "%s: %s: there is no device %s%s%s%s", where, text, device,
		    near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

/* Does a device put out anything? One whose plugin could not be loaded may. */
static bool
has_output(const struct device *device)
{
	const struct minivmm_plugin *descriptor = &device->plugin.descriptor;

	for (uint32_t i = 0; i < device->plugin.stream_count; i++)
		if (descriptor->streams[i].output)
			return true;
	return !descriptor->name;
}

int
points_check(const struct vm *vm, const char *where, const char *text)
{
	const struct point *point = &vm->machine.point;

	if (point->kind != POINT_OUTPUT)
		return 0;
	for (size_t i = 0; i < vm->config.device_count; i++) {
		if (strcmp(vm->config.devices[i].name, point->device))
			continue;
		if (i < vm->devices.count && !has_output(&vm->devices.list[i]))
			return fail(STATUS_USAGE,
				    "%s: %s: device %s (plugin %s) has no stream that puts out",
				    where, text, point->device, vm->config.devices[i].plugin);
		return 0;
	}
	return no_device(vm, where, text);
}

void
points_warn_past(const struct machine *machine, const char *text)
{
	uint64_t now = clock_now(&machine->clock);

	if (machine->point.kind == POINT_TIME && machine->point.value <= now)
		log_line(MINIVMM_WARNING, NULL,
			 "point %s is past: the VM's clock shows %llu ns already", text,
			 (unsigned long long)now);
}
