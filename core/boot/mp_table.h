/* SPDX-License-Identifier: BSD-2-Clause */
/* The tables of Intel's MultiProcessor Specification 1.4, for kernels without ACPI. */
#ifndef BOOT_MP_TABLE_H
#define BOOT_MP_TABLE_H

#include "device/device.h"

/*
 * Writes the floating pointer structure, at the end of memory below 640 KiB, and behind it the
 * configuration table: vCPUs, the IOAPIC, and the interrupt lines of the ISA bus and of the
 * devices. The machine must have an irqchip and memory below 1 MiB. 0 or a negative status.
 */
int mp_table_write(struct machine *machine, const struct devices *devices, uint32_t cpus);

#endif
