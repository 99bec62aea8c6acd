/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the sources of the complex, for pci/ only. */
#ifndef PCI_COMPLEX_PARTS_H
#define PCI_COMPLEX_PARTS_H

#include "pci/complex.h"

/* complex_hooks.c: the hooks of the functions, and the services of the devices. */
extern const struct pci_hooks pci_member_hooks;
/* Sets complex->services. */
void pci_complex_set_services(struct pci_complex *complex);

/* complex_ranges.c: the rows of the ranges on the bus. Their device is the complex or a member. */
extern const struct minivmm_range pci_ecam_row, pci_ports_row, pci_msix_row;
void pci_host_init(struct service_host *host, const char *name, struct bus_gate *gate);
/* Adds a range to the bus. base: BUS_UNPLACED for a BAR. Returns 0 or a negative status. */
int pci_add_range(struct pci_complex *complex, struct service_host *host,
		  const struct minivmm_range *row, uint64_t base, uint64_t length);

/* member.c: adds a device's function to the complex. Returns 0 or a negative status. */
int pci_member_add(struct pci_complex *complex, struct device *device,
		   const struct minivmm_pci *row, uint32_t slot, uint32_t number);

#endif
