/* SPDX-License-Identifier: BSD-2-Clause */
/* Points that can't come, or did not. */
#include "vm/points.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"

static int
no_device(const struct vm *vm, const char *where, const char *text)
{
	const char *device = vm->machine.point.device;

	return fail(STATUS_USAGE, "%s: %s: there is no device %s%s", where, text, device,
		    did_you_mean(config_device_nearest(&vm->config, device), "").text);
}

/* Does a device put out anything? One whose plugin could not be loaded may. */
static bool
has_output(const struct device *device)
{
	const struct plugin *plugin = &device->plugin;

	for (uint32_t i = 0; i < plugin->stream_count; i++)
		if (plugin->descriptor.streams[i].output)
			return true;
	return !device_plugin(device);
}

int
points_check(const struct vm *vm, const char *where, const char *text)
{
	const struct point *point = &vm->machine.point;

	if (point->kind == POINT_MMIO && memory_at(&vm->machine.memory, point->value, 1))
		return fail(STATUS_USAGE,
			    "%s: %s: this is memory, where no access leaves the guest: name an "
			    "address outside of it",
			    where, text);
	if (point->kind != POINT_OUTPUT)
		return 0;
	for (size_t i = 0; i < vm->config.device_count; i++) {
		if (strcmp(vm->config.devices[i].name, point->device))
			continue;
		if (i < vm->devices.count && !has_output(devices_at(&vm->devices, i)))
			return fail(STATUS_USAGE,
				    "%s: %s: device %s (plugin %s) has no stream that puts out",
				    where, text, point->device, vm->config.devices[i].plugin);
		return 0;
	}
	return no_device(vm, where, text);
}

static bool
is_past(const struct machine *machine, uint64_t now)
{
	return machine->point.kind == POINT_TIME && machine->point.value <= now;
}

void
points_warn_past(const struct machine *machine, const char *text)
{
	uint64_t now = clock_now(&machine->clock);

	if (is_past(machine, now))
		log_line(MINIVMM_WARNING, NULL,
			 "point %s is past: the VM's clock shows %llu ns already", text,
			 (unsigned long long)now);
}

void
points_warn_missed(const struct machine *machine, const char *text, bool saves)
{
	enum machine_cause cause = machine->end.cause;
	bool guests = cause == CAUSE_HLT || cause == CAUSE_EXIT || cause == CAUSE_SHUTDOWN ||
		      cause == CAUSE_PANIC;

	if (saves)
		log_line(MINIVMM_WARNING, NULL, "point %s was not reached: no snapshot written",
			 text);
	else if (guests && !is_past(machine, clock_now(&machine->clock)))
		log_line(MINIVMM_WARNING, NULL, "point %s was not reached: the guest ended before",
			 text);
}
