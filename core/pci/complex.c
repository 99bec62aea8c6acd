/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds PCI functions from the tables of devices, and connects them to the machine. */
#include "pci/complex_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "machine/layout.h"

#define FIRST_LINE 16u /* of the IOAPIC: above those of a PC's devices */
#define HOST_BRIDGE_SLOT 0u

uint32_t
pci_complex_slot(const struct pci_complex *c, uint32_t index)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (c->members[i].device && !c->members[i].number && !index--)
			return c->members[i].slot;
	return PCI_SLOTS;
}

struct pci_complex *
pci_complex_of(const struct devices *devices)
{
	return devices->pci ? devices->pci->context : NULL;
}

uint64_t
pci_complex_dropped(const struct device *device)
{
	const struct pci_complex *c = pci_complex_of(device->all);
	uint64_t sum = 0;

	for (uint32_t i = 0; c && i < c->count; i++)
		if (c->members[i].device == device)
			sum += __atomic_load_n(&c->members[i].function.dropped, __ATOMIC_RELAXED);
	return sum;
}

uint8_t
pci_complex_line(const struct pci_complex *c, uint32_t slot, uint32_t pin)
{
	return pci_line(c->lines, c->line_count, slot, pin);
}

/* PCI interrupts are active low. If other devices use all lines, adding the line of the first
 * function fails with a message. */
static void
choose_lines(struct pci_complex *c)
{
	for (uint32_t line = FIRST_LINE; line < FIRST_LINE + PCI_LINES; line++)
		if (irqs_has_place(&c->machine->irqs, line, true))
			c->lines[c->line_count++] = (uint8_t)line;
	if (!c->line_count)
		c->lines[c->line_count++] = FIRST_LINE;
}

static bool
is_next(const struct device *device)
{
	uint32_t function;

	return !device_slot_index(device, &function);
}

static int
add_device(struct pci_complex *c, struct device *device)
{
	uint32_t functions, first, slot = device_slot_index(device, &first);
	const struct minivmm_pci *rows = device_functions(device, &functions);
	int r = 0;

	if (!slot)
		slot = pci_root_free_slot(&c->root);
	if (slot >= PCI_SLOTS)
		return fail(STATUS_USAGE, "device %s: all %u slots are taken; remove a device",
			    device_name(device), PCI_SLOTS - 1);
	if (first + functions > PCI_FUNCTIONS)
		return fail(STATUS_USAGE,
			    "device %s: it has %u functions: slot %u.%u leaves no room for them",
			    device_name(device), functions, slot, first);
	for (uint32_t i = 0; i < functions && !r; i++)
		r = pci_member_add(c, device, &rows[i], slot, first + i);
	return r;
}

/* Guests look for further functions only in a slot with function 0. */
static int
check_slots(const struct pci_complex *c)
{
	for (uint32_t i = 0; i < c->count; i++) {
		const struct pci_member *m = &c->members[i];

		if (!c->root.functions[m->slot][0])
			return fail(STATUS_USAGE,
				    "device %s: guests find slot %u.%u only if the slot has a "
				    "function 0: put a device into slot %u",
				    device_name(m->device), m->slot, m->number, m->slot);
	}
	return 0;
}

/* Some kernels find no bus without a host bridge. */
static int
add_bridge(struct pci_complex *c)
{
	static const struct minivmm_pci row = { .vendor = 0x1b36,
						.device = 0x0008,
						.class_code = 0x060000 };
	struct pci_member *m = &c->members[c->count];
	const struct pci_identity identity = { .vendor = row.vendor,
					       .device = row.device,
					       .class_code = row.class_code };

	*m = (struct pci_member){ .complex = c, .row = &row, .index = c->count };
	pci_function_init(&m->function, &identity, &pci_member_hooks, m);
	c->count++;
	pci_function_seal(&m->function);
	return pci_root_add(&c->root, HOST_BRIDGE_SLOT, 0, &m->function);
}

static uint32_t
count_functions(const struct devices *devices)
{
	uint32_t sum = 0, functions;

	for (size_t i = 0; i < devices->count; i++)
		if (device_slot(devices_at(devices, i))) {
			device_functions(devices_at(devices, i), &functions);
			sum += functions;
		}
	return sum;
}

int
pci_complex_create(struct pci_complex *c, struct machine *machine, struct devices *devices)
{
	uint32_t functions = count_functions(devices);
	gpa_t end;
	int r;

	*c = (struct pci_complex){ .machine = machine, .devices = devices };
	if (!functions)
		return 0;
	if (memory_overlaps(&machine->memory, LAYOUT_PCI_ECAM, PCI_ECAM_BYTES, &end))
		return fail(STATUS_USAGE,
			    "guest memory overlaps the config space of PCI devices, 0x%x to 0x%x, "
			    "and would hide it: make it smaller, move it with memory_at, or take "
			    "the devices out of their slots",
			    LAYOUT_PCI_ECAM, LAYOUT_PCI_ECAM + PCI_ECAM_BYTES - 1);
	/* Kernels that do not interpret AML, such as Xen, use ECAM only if their memory map
	 * reserves it. */
	memory_reserve(&machine->memory, LAYOUT_PCI_ECAM, PCI_ECAM_BYTES);
	c->gate = aligned_alloc(_Alignof(struct bus_gate), sizeof(*c->gate));
	c->members = calloc(functions + 1, sizeof(*c->members));
	if (!c->gate || !c->members)
		return fail_memory("PCI functions");
	bus_gate_init(c->gate, true);
	pci_host_init(&c->host, "pci", c->gate);
	pci_complex_set_services(c);
	devices_set_pci(devices, &c->services);
	choose_lines(c);
	r = add_bridge(c);
	/* First the slots that options name; then "next" takes the free ones. */
	for (int next = 0; next < 2; next++)
		for (size_t i = 0; i < devices->count && !r; i++) {
			struct device *device = devices_at(devices, i);

			if (device_slot(device) && is_next(device) == next)
				r = add_device(c, device);
		}
	if (!r)
		r = check_slots(c);
	if (!r)
		r = pci_add_range(c, &c->host, &pci_ecam_row, LAYOUT_PCI_ECAM, PCI_ECAM_BYTES);
	if (!r)
		r = pci_add_range(c, &c->host, &pci_ports_row, LAYOUT_PCI_CONFIG, PCI_PORTS);
	return r;
}

static void
find_ranges(struct pci_complex *c, struct pci_member *m)
{
	for (const struct minivmm_bar *b = m->row->bars; b && b->type; b++)
		m->ranges[b->type == MINIVMM_BAR_ROM ? PCI_ROM : b->number] =
		    device_bar_range(m->device, b->range);
	if (m->table_bytes)
		m->ranges[m->msix_bar] = (struct bus_range *)bus_next(
		    &c->machine->bus, MINIVMM_MMIO, &m->host.public, NULL);
}

/* A BAR must not overlap a fixed range, or memory, which would hide it. */
static bool
taken(void *context, uint32_t space, uint64_t base, uint64_t length, uint64_t *end)
{
	const struct machine *machine = context;

	return bus_taken(&machine->bus, space, base, length, end) ||
	       (space == MINIVMM_MMIO && memory_overlaps(&machine->memory, base, length, end));
}

int
pci_complex_start(struct pci_complex *c, bool fresh)
{
	const struct memory *memory = &c->machine->memory;
	uint64_t above = LAYOUT_ABOVE;
	struct pci_windows windows = {
		.ports = { LAYOUT_PCI_PORTS, BUS_PORTS },
		.low = { LAYOUT_PCI_ECAM + PCI_ECAM_BYTES, LAYOUT_IOAPIC },
		.lines = c->lines,
		.line_count = c->line_count,
		.taken = taken,
		.context = c->machine,
	};
	struct why why;

	for (uint32_t i = 0; i < c->count; i++)
		find_ranges(c, &c->members[i]);
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *region = memory_region_at(memory, i);

		above = region->gpa + region->size > above ? region->gpa + region->size : above;
	}
	/* Aligned for all but very large BARs. */
	c->above = (above + (1ull << 30) - 1) & ~((1ull << 30) - 1);
	windows.high = (struct pci_window){ c->above, LAYOUT_PCI_ABOVE_END };
	if (!c->count || !fresh || !pci_root_assign(&c->root, &windows, &why))
		return 0;
	return fail(why_status(&why, STATUS_USAGE), "cannot place the PCI devices: %s", why.text);
}

void
pci_complex_free(struct pci_complex *c)
{
	for (uint32_t i = 0; i < c->count; i++)
		pci_function_free(&c->members[i].function);
	free(c->members);
	free(c->gate);
	if (c->devices)
		devices_set_pci(c->devices, NULL);
	*c = (struct pci_complex){ 0 };
}
