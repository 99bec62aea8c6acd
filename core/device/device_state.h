/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of a saved device, for device/. */
#ifndef DEVICE_DEVICE_STATE_H
#define DEVICE_DEVICE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "device/device.h"
#include "minivmm/plugin.h"

struct saved_timer {
	bool armed;
	uint64_t deadline, period; /* ns of the VM's clock; 0 if it is not armed */
};
extern const struct minivmm_field saved_timer_fields[];

/*
 * Saves the values of the plugin's state as the group "state", by its save or its fields. Returns 0
 * or -1: reported, or writer->no_memory.
 */
int device_plugin_state_save(struct device *d, struct record_writer *writer);
/*
 * Loads them from group, the saved device, with its version, and calls the plugin's loaded.
 * Returns 0, or -1 with *why set.
 */
int device_plugin_state_load(struct device *d, const struct record *group, struct why *why);

#endif
