/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tools: plugins that observe and control a machine and are no part of it; see minivmm/tool.h. A
 * tool is a struct devices with one device, which is not saved, paused or reset. Main thread.
 */
#ifndef DEVICE_TOOL_H
#define DEVICE_TOOL_H

#include "device/device.h"

/*
 * Loads the plugin of the only device of config, creates and configures it. beside: the devices of
 * the machine. functions: what the tool can do with the machine. Returns 0 or a negative status,
 * logged; call devices_destroy() in both cases. devices_start() and devices_stop() run it.
 */
int tool_create(struct devices *tool, const struct devices *beside, struct config *config,
		const struct minivmm_machine *functions);
/* Calls the tool's event, if it is started. Not from one of its callbacks. */
void tool_event(struct devices *tool, const struct minivmm_event *event);
/* The tool that calls a function ("machine_pause"); NULL: it may not call it here and now, and the
 * call was refused. */
struct devices *tool_enter(struct minivmm_device *dev, const char *function);

#endif
