/* SPDX-License-Identifier: BSD-2-Clause */
/* The devices of the DSDT: their IDs, resources and events. */
#include "boot/dsdt.h"

#include <stdio.h>
#include <string.h>

#include "boot/dsdt_pci.h"

/* Returns whether another row describes the option's interrupt. */
static bool
has_own_row(const struct device *device, const char *option)
{
	const struct minivmm_acpi *row;

	for (uint32_t i = 0; (row = device_acpi(device, i)); i++)
		if (row->only && !strcmp(row->only, option))
			return true;
	return false;
}

/* A row for a single interrupt is skipped if the device does not use that interrupt. The guest
 * finds a device in a slot by PCI. */
static bool
is_there(const struct device *device, const struct minivmm_acpi *row)
{
	if (device_slot(device))
		return false;
	return row->only ? device_irq(device, row->only) != NULL : row->hid != NULL;
}

static void
ranges(struct aml *aml, const struct device *device)
{
	const struct bus_range *range = NULL;

	while ((range = device_range(device, MINIVMM_PIO, range)))
		aml_resource_ports(aml, (uint16_t)range->base, (uint32_t)range->length);
	while ((range = device_range(device, MINIVMM_MMIO, range)))
		aml_resource_memory(aml, range->base, range->length);
}

/*
 * Writes the single interrupt of the row, or all ranges and interrupts of the device that no other
 * row describes.
 */
static void
resources(struct aml *aml, const struct device *device, const struct minivmm_acpi *row)
{
	size_t begin = aml_resources_begin(aml);
	const char *option;

	if (!row->only)
		ranges(aml, device);
	for (uint32_t i = 0; (option = device_irq_option(device, i)); i++) {
		const struct irq_source *source = device_irq(device, option);

		if (!source ||
		    (row->only ? strcmp(option, row->only) : has_own_row(device, option)))
			continue;
		aml_resource_irq(aml, source->line, source->edge, source->active_low,
				 !source->edge);
	}
	aml_resources_end(aml, begin);
}

static void
segment(struct aml *aml, unsigned number)
{
	char name[8];

	snprintf(name, sizeof(name), "D%03X", number & 0xfff);
	aml_segment(aml, name);
}

/* Name (ADDR, Package () { low half, high half }) */
static void
page(struct aml *aml, const struct device *device, const char *name)
{
	uint64_t gpa = device_page(device);
	size_t begin;

	aml_name(aml, name);
	begin = aml_begin(aml, AML_PACKAGE);
	aml_byte(aml, 2);
	aml_integer(aml, (uint32_t)gpa);
	aml_integer(aml, gpa >> 32);
	aml_end(aml, begin);
}

/* Device (D000) { Name (_HID, ...) Name (_UID, ...) Name (_CRS, ...) } */
static void
describe(struct aml *aml, const struct device *device, const struct minivmm_acpi *row,
	 unsigned number)
{
	size_t begin = aml_begin(aml, AML_DEVICE);
	segment(aml, number);
	aml_name(aml, "_HID");
	aml_id(aml, row->hid);
	if (row->cid) {
		aml_name(aml, "_CID");
		aml_id(aml, row->cid);
	}
	if (row->ddn) {
		aml_name(aml, "_DDN");
		aml_text(aml, row->ddn);
	}
	aml_name(aml, "_UID");
	aml_integer(aml, number);
	if (row->page)
		page(aml, device, row->page);
	if (!row->event) {
		aml_name(aml, "_CRS");
		resources(aml, device, row);
	}
	if (row->aml)
		aml_put(aml, row->aml, row->aml_length);
	aml_end(aml, begin);
}

/* The interrupt whose edges notify a device's driver, or NULL. */
static const struct irq_source *
event_irq(const struct device *device)
{
	const struct irq_source *source;
	const char *option;

	for (uint32_t i = 0; (option = device_irq_option(device, i)); i++)
		if ((source = device_irq(device, option)))
			return source;
	return NULL;
}

/* Calls work, with consecutive numbers, for each row that is not skipped. */
static void
each(struct aml *aml, const struct devices *devices,
     void (*work)(struct aml *aml, const struct device *device, const struct minivmm_acpi *row,
		  unsigned number))
{
	const struct minivmm_acpi *row;
	unsigned number = 0;

	for (size_t i = 0; i < devices->count; i++)
		for (uint32_t n = 0; (row = device_acpi(devices_at(devices, i), n)); n++)
			if (is_there(devices_at(devices, i), row))
				work(aml, devices_at(devices, i), row, number++);
}

static void
event_resource(struct aml *aml, const struct device *device, const struct minivmm_acpi *row,
	       unsigned number)
{
	const struct irq_source *irq = row->event ? event_irq(device) : NULL;

	if (irq)
		aml_resource_irq(aml, irq->line, irq->edge, irq->active_low, !irq->edge);
}

/* If (LEqual (Arg0, line)) { Notify (D000, value) } */
static void
event_case(struct aml *aml, const struct device *device, const struct minivmm_acpi *row,
	   unsigned number)
{
	const struct irq_source *irq = row->event ? event_irq(device) : NULL;
	size_t begin;

	if (!irq)
		return;
	begin = aml_begin(aml, AML_IF);
	aml_equals_argument(aml, irq->line);
	aml_notify(aml);
	segment(aml, number);
	aml_integer(aml, row->event);
	aml_end(aml, begin);
}

/* The generic event device (section 5.6.9). */
static void
events(struct aml *aml, const struct devices *devices)
{
	size_t device = aml_begin(aml, AML_DEVICE), begin;

	aml_segment(aml, "GED_");
	aml_name(aml, "_HID");
	aml_id(aml, "ACPI0013");
	aml_name(aml, "_UID");
	aml_integer(aml, 0);
	aml_name(aml, "_CRS");
	begin = aml_resources_begin(aml);
	each(aml, devices, event_resource);
	aml_resources_end(aml, begin);
	begin = aml_begin(aml, AML_METHOD);
	aml_segment(aml, "_EVT");
	aml_byte(aml, 1 | 1 << 3); /* one argument, serialized */
	each(aml, devices, event_case);
	aml_end(aml, begin);
	aml_end(aml, device);
}

static bool
has_events(const struct devices *devices)
{
	const struct minivmm_acpi *row;

	for (size_t i = 0; i < devices->count; i++)
		for (uint32_t n = 0; (row = device_acpi(devices_at(devices, i), n)); n++)
			if (row->event && event_irq(devices_at(devices, i)))
				return true;
	return false;
}

void
dsdt_devices(struct aml *aml, const struct devices *devices)
{
	size_t scope = aml_begin(aml, AML_SCOPE);

	aml_segment(aml, "_SB_");
	each(aml, devices, describe);
	if (has_events(devices))
		events(aml, devices);
	if (pci_complex_of(devices))
		dsdt_pci(aml, pci_complex_of(devices));
	aml_end(aml, scope);
}
