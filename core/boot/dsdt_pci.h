/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI root complex in the ACPI tables: PCI Firmware 3.2, section 4; ACPI 6.5, section 6.2. */
#ifndef BOOT_DSDT_PCI_H
#define BOOT_DSDT_PCI_H

#include "boot/aml.h"
#include "pci/complex.h"

/* Writes the host bridge, with its windows and interrupts, and what ECAM takes: inside \\_SB. */
void dsdt_pci(struct aml *aml, const struct pci_complex *complex);
/* Writes the body of the table MCFG, behind its header. */
void mcfg_body(struct aml *aml);

#endif
