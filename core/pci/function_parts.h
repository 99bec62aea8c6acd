/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sources of a PCI function share: for pci/. All but pci_get and pci_put: under its lock.
 */
#ifndef PCI_FUNCTION_PARTS_H
#define PCI_FUNCTION_PARTS_H

#include "pci/function.h"

uint32_t pci_get(const uint8_t *bytes, uint32_t offset, uint32_t width);
void pci_put(uint8_t *bytes, uint32_t offset, uint32_t width, uint32_t value);

/* Whether MSI or MSI-X is enabled: then INTx is not used. */
bool pci_messages_enabled(const struct pci_function *function);
/* Copies the pending bits of MSI into config space. */
void pci_refresh_pending(struct pci_function *function);
/* Config space was written: sends what is pending and no longer masked. */
void pci_messages_changed(struct pci_function *function);
void pci_messages_reset(struct pci_function *function);
/* Compares what the registers say with what is mapped, and tells the owner what has moved. */
void pci_place_regions(struct pci_function *function);
/* Sets the level of INTx by the device's interrupt and config space. */
void pci_show_line(struct pci_function *function);

#endif
