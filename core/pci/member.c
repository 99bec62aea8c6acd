/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds a function of the complex from a row of a device's table: BARs, capabilities and
 * interrupts. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "pci/complex_parts.h"

#define ENTRY_BYTES 16u

/* Adds the BARs of the row. */
static int
add_bars(struct pci_member *m)
{
	const struct device *device = m->device;

	for (const struct minivmm_bar *b = m->row->bars; b && b->type; b++) {
		uint32_t index = b->type == MINIVMM_BAR_ROM ? PCI_ROM : b->number;
		uint64_t length = device_range_length(device, b->range);

		if (pci_function_region(&m->function, index,
					b->type == MINIVMM_BAR_PORTS ? MINIVMM_PIO : MINIVMM_MMIO,
					length, plugin_bar_is_wide(b),
					b->type == MINIVMM_BAR_PREFETCHABLE64))
			return fail(STATUS_USAGE,
				    "device %s: BAR %u cannot have 0x%llx bytes; the most is "
				    "0x%llx",
				    device_name(device), b->number, (unsigned long long)length,
				    PCI_REGION_MOST(plugin_bar_is_wide(b)));
	}
	return 0;
}

static bool
is_free_bar(const struct pci_function *f, uint32_t bar)
{
	return !f->regions[bar].size && (!bar || !f->regions[bar - 1].wide);
}

/* Adds MSI, or MSI-X with its table in the first free BAR. */
static int
add_messages(struct pci_member *m)
{
	uint32_t vectors = m->row->vectors, bar = 0;
	uint64_t bytes;

	if (!vectors)
		return 0;
	if (m->row->flags & MINIVMM_MSI)
		return pci_function_msi(&m->function, vectors);
	while (bar < PCI_BARS && !is_free_bar(&m->function, bar))
		bar++;
	if (bar == PCI_BARS)
		return fail(STATUS_PLUGIN, "device %s has no free BAR for its MSI-X table",
			    device_name(m->device));
	m->table_bytes = (vectors * ENTRY_BYTES + 2047) / 2048 * 2048;
	bytes = m->table_bytes + (vectors + 63) / 64 * 8;
	m->msix_bar = bar;
	return pci_function_region(&m->function, bar, MINIVMM_MMIO, bytes < 4096 ? 4096 : bytes,
				   false, false) ||
		       pci_function_msix(&m->function, vectors, bar, 0, bar, m->table_bytes)
		   ? fail_memory("MSI-X of device %s", device_name(m->device))
		   : 0;
}

/* Adds the capabilities of the device's table. */
static int
add_capabilities(struct pci_member *m)
{
	for (const struct minivmm_capability *row = m->row->capabilities; row && row->id; row++) {
		uint8_t bytes[PCI_EXTENDED] = { 0 }, writable[PCI_EXTENDED] = { 0 };
		uint32_t length = row->length + 2, at;

		memcpy(bytes + 2, row->bytes, row->length);
		if (row->writable)
			memcpy(writable + 2, row->writable, row->length);
		at = pci_function_capability(&m->function, (uint8_t)row->id, bytes, writable,
					     length);
		if (!at ||
		    ((row->read || row->written) && pci_function_watch(&m->function, at, length)))
			return fail(STATUS_PLUGIN,
				    "device %s has too many capabilities for its config space",
				    device_name(m->device));
	}
	return 0;
}

/* Sets the interrupt handles in the device's state. */
static void
set_irqs(struct pci_member *m)
{
	uint32_t base = DEVICE_PCI_IRQ | m->index << 12;

	for (uint32_t i = 0; i < m->row->vectors; i++)
		device_set_irq(m->device,
			       m->row->vectors_offset + i * (uint32_t)sizeof(struct minivmm_irq),
			       base | (i + 1));
	if (m->row->has_intx)
		device_set_irq(m->device, m->row->intx_offset, base);
}

static int
add_line(struct pci_member *m)
{
	char owner[96];
	int handle;

	if (!m->row->has_intx)
		return 0;
	snprintf(owner, sizeof(owner), "%s.pci%u", device_name(m->device), m->number);
	handle = irqs_add(&m->complex->machine->irqs, pci_complex_line(m->complex, m->slot, 0),
			  false, true, "pci", owner);
	m->line = handle > 0 ? (uint32_t)handle : 0;
	return handle < 0 ? handle : 0;
}

int
pci_member_add(struct pci_complex *c, struct device *device, const struct minivmm_pci *row,
	       uint32_t slot, uint32_t number)
{
	struct pci_member *m = &c->members[c->count];
	const struct pci_identity identity = {
		.vendor = row->vendor,
		.device = row->device,
		.subsystem_vendor = row->subsystem_vendor,
		.subsystem = row->subsystem,
		.class_code = row->class_code,
		.revision = row->revision,
		.pin = row->has_intx,
	};
	int r;

	*m = (struct pci_member){ .complex = c,
				  .device = device,
				  .row = row,
				  .index = c->count,
				  .slot = slot,
				  .number = number };
	pci_host_init(&m->host, device_name(device), c->gate);
	pci_function_init(&m->function, &identity, &pci_member_hooks, m);
	c->count++;
	r = add_bars(m);
	if (!r)
		r = add_messages(m);
	if (!r && pci_function_express(&m->function))
		r = fail(STATUS_BUG, "device %s: no room for capabilities", device_name(device));
	if (!r)
		r = add_capabilities(m);
	if (!r && m->table_bytes)
		r = pci_add_range(c, &m->host, &pci_msix_row, BUS_UNPLACED,
				  m->function.regions[m->msix_bar].size);
	if (!r)
		r = add_line(m);
	if (r)
		return r;
	pci_function_seal(&m->function);
	set_irqs(m);
	device_set_master(device, false);
	return pci_root_add(&c->root, slot, number, &m->function)
		   ? fail(STATUS_USAGE, "device %s: slot %u.%u is taken; use another one, or next",
			  device_name(device), slot, number)
		   : 0;
}
