/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of the services that saves and loads. */
#ifndef DEVICE_DEVICE_STATE_H
#define DEVICE_DEVICE_STATE_H

#include "minivmm/plugin.h"

void state_services_init(struct minivmm_services *services);

#endif
