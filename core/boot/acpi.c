/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables that describe vCPUs, interrupt controllers and devices to the guest's kernel, and the
 * reset vector of a BIOS.
 */
#include "boot/acpi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "boot/aml.h"
#include "boot/dsdt.h"
#include "boot/dsdt_pci.h"
#include "device/device.h"
#include "machine/layout.h"

#define HEADER 36 /* bytes of the header of every table but the RSDP */
#define LENGTH_OFFSET 4
#define CHECKSUM_OFFSET 9
#define FADT_BYTES 276
#define FADT_HARDWARE_REDUCED (1u << 20)
#define FADT_RESET (1u << 10)
#define FADT_WBINVD (1u << 0)
#define FADT_8042 (1u << 1)
#define FADT_NO_VGA (1u << 2)
#define FADT_NO_RTC (1u << 5)
#define RESET 1      /* value for the reset register */
#define CENTURY 0x32 /* CMOS register of the century */

struct acpi {
	const struct devices *devices;
	struct memory *memory;
	uint64_t at; /* address of the next table */
};

static void
begin(struct aml *table, const char *signature, uint8_t revision)
{
	aml_put(table, signature, 4);
	aml_number(table, 0, 4); /* length */
	aml_byte(table, revision);
	aml_byte(table, 0); /* checksum */
	aml_put(table, "MINVMMMINIVMM ", 14);
	aml_number(table, 1, 4); /* OEM revision */
	aml_put(table, "MVMM", 4);
	aml_number(table, 1, 4);
}

/* Writes a finished table to memory and frees it. Returns its address, or 0 after an error. */
static uint64_t
finish(struct acpi *a, struct aml *table)
{
	uint64_t at = a->at;
	bool failed = table->failed || table->length > LAYOUT_DEVICE_PAGES - at;

	if (!failed) {
		uint32_t length = (uint32_t)table->length;

		memcpy(table->bytes + LENGTH_OFFSET, &length, sizeof(length));
		table->bytes[CHECKSUM_OFFSET] = aml_checksum(table->bytes, table->length);
		failed = memory_write(a->memory, at, table->bytes, table->length);
	}
	if (table->failed)
		fail_memory("building the ACPI tables");
	else if (failed)
		fail(STATUS_USAGE,
		     "the ACPI tables do not fit into memory from 0x%x to 0x%x; remove devices, or "
		     "set [vm] memory to 1M or more",
		     LAYOUT_ACPI, LAYOUT_DEVICE_PAGES);
	free(table->bytes);
	a->at = (at + table->length + 15) & ~15ull;
	return failed ? 0 : at;
}

static uint64_t
dsdt(struct acpi *a, bool power)
{
	struct aml table = { 0 };

	begin(&table, "DSDT", 2);
	dsdt_devices(&table, a->devices);
	if (power) {
		size_t package;

		aml_name(&table, "_S5_");
		package = aml_begin(&table, AML_PACKAGE);
		aml_byte(&table, 1);
		aml_integer(&table, MINIVMM_POWER_OFF);
		aml_end(&table, package);
	}
	return finish(a, &table);
}

/* A one-byte register in port space as a generic address structure. */
static void
set_register(uint8_t *place, uint64_t port)
{
	const uint8_t form[4] = { 1, 8, 0, 1 };

	memcpy(place, form, sizeof(form));
	memcpy(place + 4, &port, sizeof(port));
}

/* The first device with a row of that role, or NULL. */
static const struct device *
device_of(const struct devices *devices, enum minivmm_acpi_role role)
{
	const struct minivmm_acpi *row;

	for (size_t d = 0; d < devices->count; d++)
		for (uint32_t n = 0; (row = device_acpi(devices_at(devices, d), n)); n++)
			if (row->role == role)
				return devices_at(devices, d);
	return NULL;
}

static bool
has_role(const struct devices *devices, enum minivmm_acpi_role role)
{
	return device_of(devices, role);
}

static uint64_t
fadt(struct acpi *a, uint64_t dsdt_at, const struct bus_range *power)
{
	bool clock = has_role(a->devices, MINIVMM_ACPI_CLOCK);
	uint32_t flags = FADT_HARDWARE_REDUCED | FADT_WBINVD | (power ? FADT_RESET : 0);
	uint16_t boot = (uint16_t)(FADT_NO_VGA | (clock ? 0 : FADT_NO_RTC) |
				   (has_role(a->devices, MINIVMM_ACPI_KEYBOARD) ? FADT_8042 : 0));
	uint8_t whole[FADT_BYTES] = { 0 };
	struct aml table = { 0 };

	whole[108] = clock ? CENTURY : 0;
	memcpy(whole + 109, &boot, sizeof(boot));
	memcpy(whole + 112, &flags, sizeof(flags));
	whole[131] = 5; /* minor version: 6.5 */
	memcpy(whole + 140, &dsdt_at, sizeof(dsdt_at));
	if (power) {
		set_register(whole + 116, power->base + MINIVMM_POWER_RESET);
		whole[128] = RESET; /* the value to write there */
		set_register(whole + 244, power->base + MINIVMM_POWER_CONTROL);
		set_register(whole + 256, power->base + MINIVMM_POWER_STATUS);
	}
	memcpy(whole + 268, "minivmm", 8);
	begin(&table, "FACP", 6);
	aml_put(&table, whole + HEADER, sizeof(whole) - HEADER);
	return finish(a, &table);
}

static uint64_t
madt(struct acpi *a, uint32_t cpus)
{
	struct aml table = { 0 };

	begin(&table, "APIC", 5);
	aml_number(&table, LAYOUT_LAPIC, 4);
	aml_number(&table, 0, 4); /* flags: no 8259s */
	for (uint32_t i = 0; i < cpus; i++) {
		aml_number(&table, 0x0800, 2); /* processor local APIC */
		aml_byte(&table, (uint8_t)i);
		aml_byte(&table, (uint8_t)i);
		aml_number(&table, 1, 4); /* enabled */
	}
	aml_number(&table, 0x0c01, 2); /* I/O APIC */
	aml_byte(&table, (uint8_t)cpus);
	aml_byte(&table, 0);
	aml_number(&table, LAYOUT_IOAPIC, 4);
	aml_number(&table, 0, 4);
	return finish(a, &table);
}

static uint64_t
mcfg(struct acpi *a)
{
	struct aml table = { 0 };

	begin(&table, "MCFG", 1);
	mcfg_body(&table);
	return finish(a, &table);
}

static uint64_t
xsdt(struct acpi *a, const uint64_t *tables, size_t count)
{
	struct aml table = { 0 };

	begin(&table, "XSDT", 1);
	aml_put(&table, tables, count * sizeof(*tables));
	return finish(a, &table);
}

static int
rsdp(struct acpi *a, uint64_t xsdt_at)
{
	uint8_t table[36] = "RSD PTR \0MINVMM";

	table[15] = 2;
	table[20] = sizeof(table);
	memcpy(table + 24, &xsdt_at, sizeof(xsdt_at));
	table[8] = aml_checksum(table, 20);
	table[32] = aml_checksum(table, sizeof(table));
	return memory_write(a->memory, LAYOUT_ACPI, table, sizeof(table))
		   ? fail(STATUS_USAGE,
			  "there is no guest memory at 0x%x for the ACPI tables; set [vm] memory "
			  "to 1M or more and memory_at to 0",
			  LAYOUT_ACPI)
		   : 0;
}

/* The port range of the power device, or NULL. */
static const struct bus_range *
power_range(const struct devices *devices)
{
	const struct device *device = device_of(devices, MINIVMM_ACPI_POWER);

	return device ? device_range(device, MINIVMM_PIO, NULL) : NULL;
}

/*
 * Writes code to the reset vector of a PC. To reset a machine with hardware-reduced ACPI and
 * without EFI, Linux jumps there in real mode: it expects EFI to reset such machines and does not
 * try the reset register.
 */
static int
reset_vector(struct acpi *a, const struct bus_range *power)
{
	/*
	 * lidt cs:[ffe0]; mov al, 0xff; lmsw ax; mov ds, ax: the fault has no interrupt table and
	 * becomes a triple fault.
	 */
	uint8_t bytes[32] = { [16] = 0x2e, 0x0f, 0x01, 0x1e, 0xe0, 0xff, 0xb0,
			      0xff,        0x0f, 0x01, 0xf0, 0x8e, 0xd8 };
	uint8_t *code = bytes + 16;

	if (power) {
		uint16_t port = (uint16_t)(power->base + MINIVMM_POWER_RESET);

		/* mov dx, port; mov al, 1; out dx, al; 1: hlt; jmp 1b */
		memcpy(code, (uint8_t[]){ 0xba, 0, 0, 0xb0, RESET, 0xee, 0xf4, 0xeb, 0xfd }, 9);
		memcpy(code + 1, &port, sizeof(port));
	} else if (has_role(a->devices, MINIVMM_ACPI_KEYBOARD)) {
		/* mov al, 0xfe; out 0x64, al; 1: hlt; jmp 1b */
		memcpy(code, (uint8_t[]){ 0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd }, 7);
	}
	return memory_write(a->memory, LAYOUT_RESET_VECTOR - 16, bytes, sizeof(bytes))
		   ? fail(STATUS_USAGE,
			  "there is no guest memory at 0x%x for the reset vector; set [vm] memory "
			  "to 1M or more and memory_at to 0",
			  LAYOUT_RESET_VECTOR)
		   : 0;
}

int
acpi_write(struct machine *machine, const struct devices *devices, uint32_t cpus)
{
	struct acpi a = { .devices = devices, .memory = &machine->memory, .at = LAYOUT_ACPI + 64 };
	const struct bus_range *power = power_range(devices);
	uint64_t dsdt_at = dsdt(&a, power), tables[3], xsdt_at = 0;
	bool pci = pci_complex_of(devices) != NULL;

	tables[0] = dsdt_at ? fadt(&a, dsdt_at, power) : 0;
	tables[1] = tables[0] ? madt(&a, cpus) : 0;
	tables[2] = tables[1] && pci ? mcfg(&a) : 0;
	if (tables[1] && (!pci || tables[2]))
		xsdt_at = xsdt(&a, tables, pci ? 3 : 2);
	if (!xsdt_at || rsdp(&a, xsdt_at) || reset_vector(&a, power))
		return -STATUS_USAGE;
	machine_set_acpi(machine);
	memory_note(a.memory, "ACPI tables", NULL, LAYOUT_ACPI, a.at - LAYOUT_ACPI);
	memory_note(a.memory, "reset vector", NULL, LAYOUT_RESET_VECTOR, 16);
	return 0;
}
