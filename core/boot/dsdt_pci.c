/* SPDX-License-Identifier: BSD-2-Clause */
/* The host bridge in the DSDT, and the table MCFG, which has the address of ECAM. */
#include "boot/dsdt_pci.h"

#include "machine/layout.h"

/* Address space descriptors (ACPI 6.5, section 6.4.3.5). */
enum { SPACE_MEMORY, SPACE_PORTS, SPACE_BUSES };
#define FIXED 0x0c /* flags: minimum and maximum are fixed */

static void
window(struct aml *aml, uint8_t space, size_t bytes, uint8_t type_flags, uint64_t first,
       uint64_t length)
{
	aml_byte(aml, bytes == 2 ? 0x88 : bytes == 4 ? 0x87 : 0x8a);
	aml_number(aml, 3 + 5 * bytes, 2);
	aml_byte(aml, space);
	aml_byte(aml, FIXED);
	aml_byte(aml, type_flags);
	aml_number(aml, 0, bytes); /* granularity */
	aml_number(aml, first, bytes);
	aml_number(aml, first + length - 1, bytes);
	aml_number(aml, 0, bytes); /* translation */
	aml_number(aml, length, bytes);
}

static void
windows(struct aml *aml, const struct pci_complex *complex)
{
	const uint64_t low = LAYOUT_PCI_ECAM + PCI_ECAM_BYTES;
	size_t begin;

	aml_name(aml, "_CRS");
	begin = aml_resources_begin(aml);
	window(aml, SPACE_BUSES, 2, 0, 0, 1);
	aml_resource_ports(aml, LAYOUT_PCI_CONFIG, PCI_PORTS);
	window(aml, SPACE_PORTS, 2, 3, LAYOUT_PCI_PORTS, BUS_PORTS - LAYOUT_PCI_PORTS);
	window(aml, SPACE_MEMORY, 4, 1, low, LAYOUT_IOAPIC - low);
	window(aml, SPACE_MEMORY, 8, 1, complex->above, LAYOUT_PCI_ABOVE_END - complex->above);
	aml_resources_end(aml, begin);
}

/* Package () { slot, pin, 0, interrupt } */
static void
route(struct aml *aml, const struct pci_complex *complex, uint32_t slot, uint32_t pin)
{
	size_t begin = aml_begin(aml, AML_PACKAGE);

	aml_byte(aml, 4);
	aml_integer(aml, slot << 16 | 0xffff);
	aml_integer(aml, pin);
	aml_integer(aml, 0);
	aml_integer(aml, pci_complex_line(complex, slot, pin));
	aml_end(aml, begin);
}

/* Name (_PRT, Package () { ... }) */
static void
interrupts(struct aml *aml, const struct pci_complex *complex)
{
	uint32_t slots = 0, slot;
	size_t begin;

	while (pci_complex_slot(complex, slots) < PCI_SLOTS)
		slots++;
	aml_name(aml, "_PRT");
	begin = aml_begin(aml, AML_PACKAGE);
	aml_byte(aml, (uint8_t)(slots * PCI_PINS));
	for (uint32_t i = 0; (slot = pci_complex_slot(complex, i)) < PCI_SLOTS; i++)
		for (uint32_t pin = 0; pin < PCI_PINS; pin++)
			route(aml, complex, slot, pin);
	aml_end(aml, begin);
}

void
dsdt_pci(struct aml *aml, const struct pci_complex *complex)
{
	static const uint8_t return_arg3[] = { 0xa4, 0x6b };
	size_t device = aml_begin(aml, AML_DEVICE), begin;

	aml_segment(aml, "PCI0");
	aml_name(aml, "_HID");
	aml_id(aml, "PNP0A08");
	aml_name(aml, "_CID");
	aml_id(aml, "PNP0A03");
	aml_name(aml, "_UID");
	aml_integer(aml, 0);
	aml_name(aml, "_BBN");
	aml_integer(aml, 0);
	windows(aml, complex);
	interrupts(aml, complex);
	/* Grants the guest control of all features that it requests. */
	begin = aml_begin(aml, AML_METHOD);
	aml_segment(aml, "_OSC");
	aml_byte(aml, 4); /* arguments */
	aml_put(aml, return_arg3, sizeof(return_arg3));
	aml_end(aml, begin);
	aml_end(aml, device);

	device = aml_begin(aml, AML_DEVICE);
	aml_segment(aml, "ECAM");
	aml_name(aml, "_HID");
	aml_id(aml, "PNP0C02");
	aml_name(aml, "_UID");
	aml_integer(aml, 0);
	aml_name(aml, "_CRS");
	begin = aml_resources_begin(aml);
	aml_resource_memory(aml, LAYOUT_PCI_ECAM, PCI_ECAM_BYTES);
	aml_resources_end(aml, begin);
	aml_end(aml, device);
}

void
mcfg_body(struct aml *aml)
{
	aml_number(aml, 0, 8);
	aml_number(aml, LAYOUT_PCI_ECAM, 8);
	aml_number(aml, 0, 2); /* segment */
	aml_number(aml, 0, 2); /* first and last bus */
	aml_number(aml, 0, 4);
}
