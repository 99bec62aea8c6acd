/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the sources of a PCI function, for pci/ only. All but pci_get() and pci_put() are
 * called under the function's lock. */
#ifndef PCI_FUNCTION_PARTS_H
#define PCI_FUNCTION_PARTS_H

#include "pci/function.h"

uint32_t pci_get(const uint8_t *bytes, uint32_t offset, uint32_t width);
void pci_put(uint8_t *bytes, uint32_t offset, uint32_t width, uint32_t value);

/* Returns whether MSI or MSI-X is enabled, and INTx therefore unused. */
bool pci_messages_enabled(const struct pci_function *function);
/* Copies the pending bits of MSI into config space. */
void pci_refresh_pending(struct pci_function *function);
/* Sends pending messages that are no longer masked, after a write of config space. */
void pci_messages_changed(struct pci_function *function);
void pci_messages_reset(struct pci_function *function);
/* Maps the regions as the registers specify, and reports changes to the owner. */
void pci_place_regions(struct pci_function *function);
/* Sets the level of INTx from the device's interrupt and config space. */
void pci_show_line(struct pci_function *function);

#endif
