/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine that fuzz/pci.c fuzzes: functions in a root complex and on a bus, without devices,
 * and a record of what reaches the hooks.
 */
#ifndef TESTS_FUZZ_PCI_MACHINE_H
#define TESTS_FUZZ_PCI_MACHINE_H

#include <stdlib.h>
#include <string.h>

#include "machine/bus.h"
#include "pci/complex.h"

#define FUNCTIONS 3u
#define MSIX_MOST 70u
#define PBA 2048u /* offset of the pending bits in BAR 4 */

/* What the guest cannot see of a function. */
struct extra {
	struct bus_range *ranges[PCI_REGIONS];
	bool vectors[MSIX_MOST]; /* pending, of MSI-X */
	uint32_t msi;            /* pending */
	bool intx, line, master;
	uint64_t sent, expected;
};

struct machine_of_pci {
	struct pci_complex complex;
	struct pci_member members[FUNCTIONS];
	struct extra extras[FUNCTIONS];
	struct machine machine; /* only its bus is used */
	bool paused;            /* messages are refused */
	bool built;
};

/* The second one loads what the first one has saved. */
static struct machine_of_pci machines[2];

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static struct machine_of_pci *
machine_of(struct pci_function *f)
{
	return f->context;
}

static uint32_t
index_of(struct pci_function *f)
{
	return (uint32_t)((struct pci_member *)((char *)f - offsetof(struct pci_member, function)) -
			  machine_of(f)->members);
}

static struct extra *
extra_of(struct pci_function *f)
{
	return &machine_of(f)->extras[index_of(f)];
}

/* The hooks. */

static void
moved(struct pci_function *f, uint32_t region, const struct pci_region *was)
{
	const struct pci_region *now = &f->regions[region];

	must(now->mapped != was->mapped || now->base != was->base);
	bus_place(&machine_of(f)->machine.bus, extra_of(f)->ranges[region],
		  now->mapped ? now->base : BUS_UNPLACED);
}

static bool
message(struct pci_function *f, const struct pci_message *m)
{
	must(f->config[PCI_COMMAND] & PCI_BUS_MASTER);
	if (machine_of(f)->paused)
		return false;
	extra_of(f)->sent++;
	return true;
}

static void
master(struct pci_function *f, bool is_master)
{
	extra_of(f)->master = is_master;
}

static void
line(struct pci_function *f, bool up)
{
	extra_of(f)->line = up;
}

static void
reset(struct pci_function *f)
{
	struct extra *e = extra_of(f);

	memset(e->vectors, 0, sizeof(e->vectors));
	e->msi = 0;
	e->intx = false;
}

/* The machine: a function with everything, one with MSI, and one with many vectors. */

static const struct pci_hooks hooks = {
	.moved = moved, .message = message, .master = master, .line = line, .reset = reset
};
static const struct minivmm_range ports = { .space = MINIVMM_PIO };
static const struct minivmm_range memory = { .space = MINIVMM_MMIO };
static struct minivmm_device device = { .name = "fuzz" };
static struct bus_gate gate;

static void
add_range(struct bus *bus, const struct minivmm_range *row, uint64_t base, uint64_t length,
	  uint32_t index)
{
	const struct bus_range range = { .base = base,
					 .length = length,
					 .device = &device,
					 .gate = &gate,
					 .row = row,
					 .index = index };

	must(!(base == BUS_UNPLACED ? bus_add_unplaced(bus, &range, "fuzz")
				    : bus_add(bus, &range, "fuzz")));
}

static void
find_ranges(struct machine_of_pci *m)
{
	for (uint32_t space = MINIVMM_PIO; space <= MINIVMM_MMIO; space++) {
		const struct bus_range *r = NULL;

		while ((r = bus_next(&m->machine.bus, space, &device, r)))
			if (r->index < FUNCTIONS * PCI_REGIONS)
				m->extras[r->index / PCI_REGIONS].ranges[r->index % PCI_REGIONS] =
				    (struct bus_range *)r;
	}
}

static void
add_regions(struct pci_function *f, uint32_t i)
{
	must(!pci_function_region(f, 0, MINIVMM_MMIO, i ? 4096 : 1 << 20, false, false));
	must(!pci_function_region(f, 1, MINIVMM_PIO, 8u << i, false, false));
	must(!pci_function_region(f, 2, MINIVMM_MMIO, 0x180000000, true, true));
	must(!pci_function_region(f, 4, MINIVMM_MMIO, 4096, false, false));
	must(!pci_function_region(f, PCI_ROM, MINIVMM_MMIO, 100, false, false));
}

static void
build(struct machine_of_pci *m)
{
	static const uint32_t slots[] = { 0, 1, 1 }, numbers[] = { 0, 0, 3 };
	const struct pci_identity identity = {
		.vendor = 0x1234, .device = 0x5678, .class_code = 0x00ff00, .pin = 1
	};

	m->complex.machine = &m->machine;
	m->complex.members = m->members;
	m->complex.count = FUNCTIONS;
	add_range(&m->machine.bus, &ports, 0x3f8, 8, UINT32_MAX);
	add_range(&m->machine.bus, &memory, 0xfed00000, 1024, UINT32_MAX);
	for (uint32_t i = 0; i < FUNCTIONS; i++) {
		struct pci_function *f = &m->members[i].function;

		m->members[i].slot = slots[i];
		m->members[i].number = numbers[i];
		pci_function_init(f, &identity, &hooks, m);
		add_regions(f, i);
		must(!pci_function_express(f));
		if (i != 1)
			must(!pci_function_msix(f, i ? MSIX_MOST : 3, 4, 0, 4, PBA));
		if (i != 2)
			must(!pci_function_msi(f, i ? 32 : 4));
		pci_function_seal(f);
		must(!pci_root_add(&m->complex.root, slots[i], numbers[i], f));
		for (uint32_t r = 0; r < PCI_REGIONS; r++)
			if (f->regions[r].size)
				add_range(&m->machine.bus, r == 1 ? &ports : &memory, BUS_UNPLACED,
					  f->regions[r].size, i * PCI_REGIONS + r);
	}
	must(!bus_seal(&m->machine.bus));
	find_ranges(m);
	m->built = true;
}

static void
begin(struct machine_of_pci *m)
{
	if (!m->built)
		build(m);
	m->paused = false;
	m->complex.root.address = 0;
	for (uint32_t i = 0; i < FUNCTIONS; i++) {
		struct bus_range *ranges[PCI_REGIONS];

		pci_function_reset(&m->members[i].function);
		m->members[i].function.dropped = 0;
		memcpy(ranges, m->extras[i].ranges, sizeof(ranges));
		m->extras[i] = (struct extra){ 0 };
		memcpy(m->extras[i].ranges, ranges, sizeof(ranges));
	}
}

#endif
