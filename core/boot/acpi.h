/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables (ACPI 6.5), generated from the devices. */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include <stdint.h>

#include "device/device.h"

/*
 * Writes RSDP, XSDT, FADT, MADT and DSDT into guest memory, and code at a PC's reset vector that
 * resets the machine. The tables are hardware-reduced and contain each device with rows of struct
 * minivmm_acpi. The machine must have an irqchip and memory below 1 MiB. 0 or a negative status.
 */
int acpi_write(struct machine *machine, const struct devices *devices, uint32_t cpus);

#endif
