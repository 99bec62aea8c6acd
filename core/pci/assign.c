/* SPDX-License-Identifier: BSD-2-Clause */
/* Configures the functions as firmware does: addresses of BARs and ROMs, decoding, interrupts. */
#include <stdlib.h>

#include "pci/root.h"

/* Larger wide BARs go above 4 GiB if there is room. */
#define LOW_MOST (64ull << 20)

struct item {
	struct pci_function *function;
	uint32_t slot, number, region; /* region: index, of PCI_REGIONS */
};

static const struct pci_region *
region_of(const struct item *item)
{
	return &item->function->regions[item->region];
}

/* The largest first, to lose little space to alignment; then in the order of slots. */
static int
by_size(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	uint64_t one = region_of(x)->size, other = region_of(y)->size;

	if (one != other)
		return one > other ? -1 : 1;
	if (x->slot != y->slot)
		return x->slot < y->slot ? -1 : 1;
	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	return x->region < y->region ? -1 : 1;
}

static size_t
collect(struct pci_root *root, struct item *items)
{
	size_t count = 0;

	for (uint32_t slot = 0; slot < PCI_SLOTS; slot++)
		for (uint32_t number = 0; number < PCI_FUNCTIONS; number++) {
			struct pci_function *f = root->functions[slot][number];

			for (uint32_t i = 0; f && i < PCI_REGIONS; i++)
				if (f->regions[i].size)
					items[count++] = (struct item){ f, slot, number, i };
		}
	qsort(items, count, sizeof(*items), by_size);
	return count;
}

/* Takes an aligned piece of the window. Returns false if there is none. */
static bool
take(const struct pci_windows *windows, struct pci_window *window, uint32_t space, uint64_t size,
     uint64_t *base)
{
	uint64_t at, end, busy;

	for (at = window->next;; at = busy) {
		if (__builtin_add_overflow(at, size - 1, &at))
			return false;
		at &= ~(size - 1);
		if (__builtin_add_overflow(at, size, &end) || end > window->end)
			return false;
		if (!windows->taken || !windows->taken(windows->context, space, at, size, &busy))
			break;
	}
	window->next = end;
	*base = at;
	return true;
}

static bool
place(struct pci_windows *windows, const struct pci_region *region, uint64_t *base)
{
	if (region->space == MINIVMM_PIO)
		return take(windows, &windows->ports, MINIVMM_PIO, region->size, base);
	if (region->wide && region->size > LOW_MOST &&
	    take(windows, &windows->high, MINIVMM_MMIO, region->size, base))
		return true;
	if (take(windows, &windows->low, MINIVMM_MMIO, region->size, base))
		return true;
	return region->wide && take(windows, &windows->high, MINIVMM_MMIO, region->size, base);
}

static void
write_base(const struct item *item, uint64_t base)
{
	uint32_t at = item->region == PCI_ROM ? PCI_ROM_ADDRESS : PCI_BAR0 + 4 * item->region;

	pci_function_write(item->function, at, 4, (uint32_t)base);
	if (region_of(item)->wide)
		pci_function_write(item->function, at + 4, 4, (uint32_t)(base >> 32));
}

static void
enable(struct pci_function *f, uint32_t slot, const struct pci_windows *windows)
{
	uint32_t pin = pci_function_read(f, PCI_INTERRUPT_PIN, 1);

	if (pin)
		pci_function_write(f, PCI_INTERRUPT_LINE, 1,
				   pci_line(windows->lines, windows->line_count, slot, pin - 1));
	pci_function_write(f, PCI_COMMAND, 2, PCI_DECODE_IO | PCI_DECODE_MEMORY);
}

int
pci_root_assign(struct pci_root *root, struct pci_windows *windows, struct why *why)
{
	struct item *items = calloc(PCI_SLOTS * PCI_FUNCTIONS * PCI_REGIONS, sizeof(*items));
	size_t count = items ? collect(root, items) : 0;
	int r = items ? 0 : why_no_memory(why);
	uint64_t base;

	for (size_t i = 0; i < count && !r; i++)
		if (place(windows, region_of(&items[i]), &base))
			write_base(&items[i], base);
		else
			r = why_set(why,
				    "no room for region %u of slot %u.%u, 0x%llx %s: use fewer "
				    "or smaller devices, or move those with fixed addresses",
				    items[i].region, items[i].slot, items[i].number,
				    (unsigned long long)region_of(&items[i])->size,
				    region_of(&items[i])->space == MINIVMM_PIO ? "ports" : "bytes");
	for (uint32_t slot = 0; slot < PCI_SLOTS && !r; slot++)
		for (uint32_t number = 0; number < PCI_FUNCTIONS; number++)
			if (root->functions[slot][number])
				enable(root->functions[slot][number], slot, windows);
	free(items);
	return r;
}
