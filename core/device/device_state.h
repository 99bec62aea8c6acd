/* SPDX-License-Identifier: BSD-2-Clause */
/* The form of a saved timer. */
#ifndef DEVICE_DEVICE_STATE_H
#define DEVICE_DEVICE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "minivmm/plugin.h"

struct saved_timer {
	bool armed;
	uint64_t deadline, period; /* ns of the VM's clock; 0 if it is not armed */
};
extern const struct minivmm_field saved_timer_fields[];

#endif
