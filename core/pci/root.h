/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The root complex: bus 0 with up to 32 slots of 8 functions. The guest reaches their config space
 * through ports 0xcf8 to 0xcff (PCI Local Bus 3.0, section 3.2.2.3.2) and through ECAM (PCI Express
 * 5.0, section 7.2.2). There is no firmware: pci_root_assign() does its work.
 */
#ifndef PCI_ROOT_H
#define PCI_ROOT_H

#include <stdatomic.h>

#include "base/why.h"
#include "pci/function.h"

#define PCI_SLOTS 32u
#define PCI_FUNCTIONS 8u
#define PCI_ECAM_BYTES (1u << 20) /* of bus 0 */
#define PCI_PORTS 8u              /* from 0xcf8 */
#define PCI_PINS 4u

struct pci_root {
	atomic_uint address;                                      /* CONFIG_ADDRESS */
	struct pci_function *functions[PCI_SLOTS][PCI_FUNCTIONS]; /* the owner's; NULL: none */
};

/* Where regions are put. */
struct pci_window {
	uint64_t next, end; /* the part that is still free */
};

struct pci_windows {
	struct pci_window ports, low, high; /* low: below 4 GiB; high: above */
	const uint8_t
	    *lines; /* numbers of interrupts, line_count at least 1; the pins take turns */
	uint32_t line_count;
	/* Stores the end of what lies in [base, base + length) already, and returns true; false:
	 * nothing. NULL: nothing anywhere. */
	bool (*taken)(void *context, uint32_t space, uint64_t base, uint64_t length, uint64_t *end);
	void *context;
};

/* Adds a function that is sealed. Function 0 of a slot with several functions gets the bit for that
 * in its header. 0, or -1: the place is taken. Main thread, before a vCPU runs. */
int pci_root_add(struct pci_root *root, uint32_t slot, uint32_t number,
		 struct pci_function *function);
/* The first slot without functions; PCI_SLOTS: none. */
uint32_t pci_root_free_slot(const struct pci_root *root);

/*
 * Gives each BAR and ROM an address, the largest first, enables decoding, and writes the number of
 * the interrupt of each pin. Bus mastering and the ROMs stay off. What
 * it sets is not the state after a reset. 0, or -1 with the reason in why: a window is full.
 */
int pci_root_assign(struct pci_root *root, struct pci_windows *windows, struct why *why);
/* The number of the interrupt of a pin, from 0, of a slot. */
static inline uint8_t
pci_line(const uint8_t *lines, uint32_t line_count, uint32_t slot, uint32_t pin)
{
	return lines[(slot + pin) % line_count];
}

/* Accesses of the guest: of 1, 2 or 4 bytes. Those that cross 4 bytes read all ones, or are
 * dropped. Any thread. */
uint32_t pci_root_port_read(struct pci_root *root, uint32_t offset, uint32_t width);
void pci_root_port_write(struct pci_root *root, uint32_t offset, uint32_t width, uint32_t value);
uint32_t pci_root_ecam_read(struct pci_root *root, uint32_t offset, uint32_t width);
void pci_root_ecam_write(struct pci_root *root, uint32_t offset, uint32_t width, uint32_t value);

#endif
