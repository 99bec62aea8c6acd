/* SPDX-License-Identifier: BSD-2-Clause */
/* The services that save and load. */
#ifndef DEVICE_DEVICE_STATE_H
#define DEVICE_DEVICE_STATE_H

#include "minivmm/plugin.h"

/* Fills in save_fields, load_fields, put... and get... */
void state_services_init(struct minivmm_services *services);

#endif
