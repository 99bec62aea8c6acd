/* SPDX-License-Identifier: BSD-2-Clause */
/* The services that save and load, and the form of a saved timer. */
#ifndef DEVICE_DEVICE_STATE_H
#define DEVICE_DEVICE_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "minivmm/plugin.h"

/* Fills in save_fields, load_fields, put... and get... */
void state_services_init(struct minivmm_services *services);

struct saved_timer {
	bool armed;
	uint64_t deadline, period; /* ns of the VM's clock; 0 if it is not armed */
};
extern const struct minivmm_field saved_timer_fields[];

#endif
