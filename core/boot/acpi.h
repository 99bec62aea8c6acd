/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI tables (ACPI 6.5), made from the devices that are there. */
#ifndef BOOT_ACPI_H
#define BOOT_ACPI_H

#include <stdint.h>

#include "device/device.h"

/* Where the RSDP is: in the BIOS's area, through which kernels look for it as well. */
#define ACPI_AT 0xe0000u
#define ACPI_PAGES_AT DEVICE_PAGES_AT /* tables end here, and devices' pages begin */
#define ACPI_END 0x100000u            /* of the BIOS's area; the reset vector is at its end */

/*
 * Writes RSDP, XSDT, FADT, MADT and DSDT into the machine's memory: hardware-reduced, with each
 * device that describes itself (struct minivmm_acpi); and code at a PC's reset vector that resets
 * the machine. The machine has an irqchip and memory below 1 MiB. 0 or a negative status.
 */
int acpi_write(struct devices *devices, uint32_t cpus);

#endif
