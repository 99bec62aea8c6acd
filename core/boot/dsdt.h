/* SPDX-License-Identifier: BSD-2-Clause */
/* The DSDT's devices. */
#ifndef BOOT_DSDT_H
#define BOOT_DSDT_H

#include "boot/aml.h"
#include "device/device.h"

/* Scope (_SB) { what describes itself, in order, and a generic event device where one is needed
 * } */
void dsdt_devices(struct aml *aml, const struct devices *devices);

#endif
