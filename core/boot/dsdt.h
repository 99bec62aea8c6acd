/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices of the DSDT. */
#ifndef BOOT_DSDT_H
#define BOOT_DSDT_H

#include "boot/aml.h"
#include "device/device.h"

/*
 * Writes Scope (_SB) with the devices that have rows of struct minivmm_acpi, in order, and with a
 * generic event device if one is needed.
 */
void dsdt_devices(struct aml *aml, const struct devices *devices);

#endif
