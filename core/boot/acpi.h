/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables (ACPI 6.5), made from the devices that are there. */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include <stdint.h>

#include "device/device.h"

/*
 * Writes RSDP, XSDT, FADT, MADT and DSDT into the machine's memory: hardware-reduced, with each
 * device that describes itself (struct minivmm_acpi); and code at a PC's reset vector that resets
 * the machine. The machine has an irqchip and memory below 1 MiB. 0 or a negative status.
 */
int acpi_write(struct machine *machine, const struct devices *devices, uint32_t cpus);

#endif
