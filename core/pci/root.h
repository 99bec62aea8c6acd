/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The root complex: bus 0 with up to 32 slots of 8 functions. The guest reaches their config space
 * through ports 0xcf8 to 0xcff (PCI Local Bus 3.0, section 3.2.2.3.2) and through ECAM (PCI Express
 * 5.0, section 7.2.2). pci_root_assign() replaces the firmware.
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

/* An address window for regions. */
struct pci_window {
	uint64_t next, end; /* the free part */
};

struct pci_windows {
	struct pci_window ports, low, high; /* low: below 4 GiB; high: above */
	const uint8_t *lines; /* interrupt numbers for the pins, in turn; line_count: at least 1 */
	uint32_t line_count;
	/* Returns whether [base, base + length) is in use, and stores the end of the used part.
	 * NULL: nothing is in use. */
	bool (*taken)(void *context, uint32_t space, uint64_t base, uint64_t length, uint64_t *end);
	void *context;
};

/* Adds a sealed function. In a slot with several functions, sets the multi-function bit of function
 * 0. Returns 0, or -1 if the number is in use. Main thread, before a vCPU runs. */
int pci_root_add(struct pci_root *root, uint32_t slot, uint32_t number,
		 struct pci_function *function);
/* Returns the first slot without functions, or PCI_SLOTS. */
uint32_t pci_root_free_slot(const struct pci_root *root);

/*
 * Gives each BAR and ROM an address, the largest first. Enables decoding, and writes the interrupt
 * number of each pin. Bus mastering and the ROMs stay disabled. A reset of a function undoes these
 * settings. Returns 0; -1 with the reason in why if a window is full.
 */
int pci_root_assign(struct pci_root *root, struct pci_windows *windows, struct why *why);
/* Returns the interrupt number of a pin, from 0, of a slot. */
static inline uint8_t
pci_line(const uint8_t *lines, uint32_t line_count, uint32_t slot, uint32_t pin)
{
	return lines[(slot + pin) % line_count];
}

/* Accesses of the guest, of 1, 2 or 4 bytes. If an access crosses a boundary of 4 bytes, a read
 * returns all ones, and a write is dropped. Any thread. */
uint32_t pci_root_port_read(struct pci_root *root, uint32_t offset, uint32_t width);
void pci_root_port_write(struct pci_root *root, uint32_t offset, uint32_t width, uint32_t value);
uint32_t pci_root_ecam_read(struct pci_root *root, uint32_t offset, uint32_t width);
void pci_root_ecam_write(struct pci_root *root, uint32_t offset, uint32_t width, uint32_t value);

#endif
