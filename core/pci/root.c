/* SPDX-License-Identifier: BSD-2-Clause */
/* Config accesses to the functions of bus 0. assign.c assigns the addresses of BARs. */
#include "pci/root.h"

#define ADDRESS_ENABLE 0x80000000u
#define DATA 4u /* offset of CONFIG_DATA from CONFIG_ADDRESS */

int
pci_root_add(struct pci_root *root, uint32_t slot, uint32_t number, struct pci_function *function)
{
	struct pci_function **slots = root->functions[slot];
	uint32_t count = 1;

	if (slots[number])
		return -1;
	for (uint32_t i = 0; i < PCI_FUNCTIONS; i++)
		count += slots[i] != NULL;
	slots[number] = function;
	if (slots[0] && count > 1)
		pci_function_multiple(slots[0]);
	return 0;
}

uint32_t
pci_root_free_slot(const struct pci_root *root)
{
	for (uint32_t slot = 0; slot < PCI_SLOTS; slot++) {
		bool used = false;

		for (uint32_t i = 0; i < PCI_FUNCTIONS; i++)
			used |= root->functions[slot][i] != NULL;
		if (!used)
			return slot;
	}
	return PCI_SLOTS;
}

static uint32_t
all_ones(uint32_t width)
{
	return width == 4 ? 0xffffffff : (1u << 8 * width) - 1;
}

/* Returns the function of an access; NULL if there is none. A slot without function 0 is empty:
 * guests probe only function 0. An access that crosses 4 bytes is refused, as the specification
 * allows. */
static struct pci_function *
function_at(struct pci_root *root, uint32_t offset, uint32_t width)
{
	struct pci_function **slot = root->functions[offset >> 15 & (PCI_SLOTS - 1)];
	bool fits = offset < PCI_ECAM_BYTES && (offset & 3) + width <= 4;

	return fits && slot[0] ? slot[offset >> 12 & (PCI_FUNCTIONS - 1)] : NULL;
}

uint32_t
pci_root_ecam_read(struct pci_root *root, uint32_t offset, uint32_t width)
{
	struct pci_function *function = function_at(root, offset, width);

	return function ? pci_function_read(function, offset & (PCI_CONFIG_BYTES - 1), width)
			: all_ones(width);
}

void
pci_root_ecam_write(struct pci_root *root, uint32_t offset, uint32_t width, uint32_t value)
{
	struct pci_function *function = function_at(root, offset, width);

	if (function)
		pci_function_write(function, offset & (PCI_CONFIG_BYTES - 1), width, value);
}

/* Returns the offset in ECAM that CONFIG_ADDRESS selects; PCI_ECAM_BYTES if there is none. */
static uint32_t
selected(struct pci_root *root, uint32_t offset)
{
	uint32_t address = atomic_load(&root->address);

	if (!(address & ADDRESS_ENABLE) || address >> 16 & 0xff)
		return PCI_ECAM_BYTES;
	return (address >> 8 & 0xff) << 12 | (address & 0xfc) | (offset - DATA);
}

uint32_t
pci_root_port_read(struct pci_root *root, uint32_t offset, uint32_t width)
{
	if (offset >= DATA)
		return pci_root_ecam_read(root, selected(root, offset), width);
	return offset == 0 && width == 4 ? atomic_load(&root->address) : all_ones(width);
}

/* CONFIG_ADDRESS accepts only accesses of 4 bytes; others belong to other registers of a PC. */
void
pci_root_port_write(struct pci_root *root, uint32_t offset, uint32_t width, uint32_t value)
{
	if (offset >= DATA)
		pci_root_ecam_write(root, selected(root, offset), width, value);
	else if (offset == 0 && width == 4)
		atomic_store(&root->address, value & (ADDRESS_ENABLE | 0xfffffc));
}
