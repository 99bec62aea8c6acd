/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The MP table: MultiProcessor Specification 1.4, chapter 4. Kernels that run without ACPI find
 * vCPUs and interrupt lines in it: Linux with acpi=off, xv6.
 */
#include "boot/mp_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "boot/aml.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "pci/complex.h"

#define VERSION 4 /* 1.4 */
#define POINTER_BYTES 16
#define POINTER_CHECKSUM 10
#define LENGTH_OFFSET 4 /* these in the header of the configuration table */
#define CHECKSUM_OFFSET 7
#define COUNT_OFFSET 34
#define ISA_LINES 16u

enum { ISA, PCI }; /* the numbers of the buses */
enum { PROCESSOR, BUS, IOAPIC, IO_INTERRUPT, LOCAL_INTERRUPT };
enum { ENABLED = 1, BOOT_PROCESSOR = 2 };
enum { INT, NMI, SMI, EXTINT };
enum { ACTIVE_HIGH = 1, ACTIVE_LOW = 3, EDGE = 1 << 2, LEVEL = 3 << 2 }; /* 0: as the bus */
enum { LINT0, LINT1, ALL_LAPICS = 0xff };

struct table {
	struct aml bytes; /* a buffer */
	uint16_t entries;
};

static void
processor(struct table *t, uint8_t id)
{
	aml_byte(&t->bytes, PROCESSOR);
	aml_byte(&t->bytes, id);
	aml_byte(&t->bytes, 0x14); /* the version of KVM's LAPICs */
	aml_byte(&t->bytes, ENABLED | (id ? 0 : BOOT_PROCESSOR));
	aml_number(&t->bytes, 0x600, 4); /* family 6 */
	aml_number(&t->bytes, 0x201, 4); /* FPU and LAPIC; CPUID tells the rest */
	aml_number(&t->bytes, 0, 8);
	t->entries++;
}

/* An entry of type IO_INTERRUPT or LOCAL_INTERRUPT. */
static void
interrupt(struct table *t, uint8_t type, uint8_t kind, uint16_t flags, uint8_t bus, uint8_t line,
	  uint8_t chip, uint8_t pin)
{
	const uint8_t entry[] = { type, kind, (uint8_t)flags, 0, bus, line, chip, pin };

	aml_put(&t->bytes, entry, sizeof(entry));
	t->entries++;
}

/* The device's interrupt on a line, or NULL. All sources of a line have the same trigger. */
static const struct irq_source *
source_on(const struct devices *devices, uint32_t line)
{
	const struct irq_source *source;
	const char *option;

	for (size_t d = 0; d < devices->count; d++)
		for (uint32_t i = 0; (option = device_irq_option(devices_at(devices, d), i)); i++) {
			source = device_irq(devices_at(devices, d), option);
			if (source && source->line == line)
				return source;
		}
	return NULL;
}

/* Lines have the numbers of the IOAPIC's pins, also those above an ISA bus's. */
static void
lines(struct table *t, const struct devices *devices, uint8_t ioapic)
{
	for (uint32_t line = 0; line < IRQ_LINES; line++) {
		const struct irq_source *source = source_on(devices, line);
		uint16_t flags = 0;

		if (source)
			flags = (uint16_t)((source->active_low ? ACTIVE_LOW : ACTIVE_HIGH) |
					   (source->edge ? EDGE : LEVEL));
		if (source || line < ISA_LINES)
			interrupt(t, IO_INTERRUPT, INT, flags, ISA, (uint8_t)line, ioapic,
				  (uint8_t)line);
	}
	interrupt(t, LOCAL_INTERRUPT, EXTINT, 0, ISA, 0, ALL_LAPICS, LINT0);
	interrupt(t, LOCAL_INTERRUPT, NMI, 0, ISA, 0, ALL_LAPICS, LINT1);
}

/* The pins of PCI devices (section D.3 of the specification). */
static void
pci_pins(struct table *t, const struct pci_complex *complex, uint8_t ioapic)
{
	uint32_t slot;

	for (uint32_t i = 0; (slot = pci_complex_slot(complex, i)) < PCI_SLOTS; i++)
		for (uint32_t pin = 0; pin < PCI_PINS; pin++)
			interrupt(t, IO_INTERRUPT, INT, ACTIVE_LOW | LEVEL, PCI,
				  (uint8_t)(slot << 2 | pin), ioapic,
				  pci_complex_line(complex, slot, pin));
}

/* The floating pointer structure, and the header of the configuration table behind it. Lengths and
 * checksums are 0. */
static void
begin(struct aml *b)
{
	aml_put(b, "_MP_", 4);
	aml_number(b, LAYOUT_MP_TABLE + POINTER_BYTES, 4);
	aml_byte(b, POINTER_BYTES / 16);
	aml_byte(b, VERSION);
	aml_number(b, 0, 6); /* checksum; features */
	aml_put(b, "PCMP", 4);
	aml_number(b, 0, 2);
	aml_byte(b, VERSION);
	aml_byte(b, 0);
	aml_put(b, "MINIVMM minivmm     ", 20);
	aml_number(b, 0, 8); /* OEM table; number of entries */
	aml_number(b, LAYOUT_LAPIC, 4);
	aml_number(b, 0, 4);
}

static void
end(struct table *t)
{
	uint8_t *pointer = t->bytes.bytes, *header = pointer + POINTER_BYTES;
	uint16_t length = (uint16_t)(t->bytes.length - POINTER_BYTES);

	pointer[POINTER_CHECKSUM] = aml_checksum(pointer, POINTER_BYTES);
	memcpy(header + LENGTH_OFFSET, &length, sizeof(length));
	memcpy(header + COUNT_OFFSET, &t->entries, sizeof(t->entries));
	header[CHECKSUM_OFFSET] = aml_checksum(header, length);
}

static void
build(struct table *t, const struct devices *devices, uint32_t cpus)
{
	const struct pci_complex *complex = pci_complex_of(devices);
	struct aml *b = &t->bytes;

	begin(b);
	for (uint32_t i = 0; i < cpus; i++)
		processor(t, (uint8_t)i);
	aml_put(b, (uint8_t[]){ BUS, ISA, 'I', 'S', 'A', ' ', ' ', ' ' }, 8);
	if (complex) {
		aml_put(b, (uint8_t[]){ BUS, PCI, 'P', 'C', 'I', ' ', ' ', ' ' }, 8);
		t->entries++;
	}
	aml_put(b, (uint8_t[]){ IOAPIC, (uint8_t)cpus, 0x11, ENABLED }, 4);
	aml_number(b, LAYOUT_IOAPIC, 4);
	t->entries = (uint16_t)(t->entries + 2);
	if (complex)
		pci_pins(t, complex, (uint8_t)cpus);
	lines(t, devices, (uint8_t)cpus);
	if (!b->failed)
		end(t);
}

int
mp_table_write(struct machine *machine, const struct devices *devices, uint32_t cpus)
{
	struct memory *memory = &machine->memory;
	struct table t = { 0 };
	int r;

	build(&t, devices, cpus);
	if (t.bytes.failed)
		r = fail_memory("building the MP table");
	else if (memory_write(memory, LAYOUT_MP_TABLE, t.bytes.bytes, t.bytes.length))
		r = fail(STATUS_USAGE,
			 "there is no guest memory at 0x%x for the MP table; set [vm] memory to 1M "
			 "or more and memory_at to 0, or [boot] mp_table to no",
			 LAYOUT_MP_TABLE);
	else {
		memory_note(memory, "MP table", NULL, LAYOUT_MP_TABLE, t.bytes.length);
		r = 0;
	}
	free(t.bytes.bytes);
	return r;
}
