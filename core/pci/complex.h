/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI functions of a machine's devices, built from the devices' tables, and the root complex
 * that connects them to the bus. A machine without a device in a slot has no root complex.
 */
#ifndef PCI_COMPLEX_H
#define PCI_COMPLEX_H

#include "base/lock.h"
#include "base/record.h"
#include "device/device.h"
#include "machine/service.h"
#include "pci/root.h"

#define PCI_LINES 8u

struct pci_complex;

/* A function of a device. */
struct pci_member {
	struct service_host host;     /* first: of the range of its MSI-X table */
	struct pci_function function; /* its context is this struct */
	struct pci_complex *complex;
	struct device *device;
	const struct minivmm_pci *row;
	uint32_t index, slot, number; /* index: in the complex; number: in the slot */
	uint32_t msix_bar, table_bytes;
	uint32_t line; /* handle of its interrupt; 0: none */
	bool master;   /* guarded by masters of the complex */
	struct bus_range *ranges[PCI_REGIONS];
};

struct pci_complex {
	struct service_host host; /* first: of the ranges of the root complex */
	struct bus_gate *gate;    /* of the same ranges; owned */
	struct machine *machine;
	struct devices *devices;
	struct pci_member *members;
	uint64_t above; /* start of the window above 4 GiB */
	struct device_pci services;
	struct pci_root root;
	struct lock masters; /* held while bus mastering of a function changes */
	uint32_t count;      /* 0: no device is in a slot */
	uint32_t line_count;
	uint8_t lines[PCI_LINES]; /* inputs of the IOAPIC for the pins: without those of options */
};

/* Builds the functions of all devices in slots, and adds their ranges to the bus. Call it after the
 * devices were created and before the bus is sealed. Returns 0 or a negative status; call
 * pci_complex_free() in both cases. Main thread. */
int pci_complex_create(struct pci_complex *complex, struct machine *machine,
		       struct devices *devices);
/* Connects the functions with the ranges of the bus, which is sealed. In a fresh machine, assigns
 * addresses. Returns 0 or a negative status. Main thread. */
int pci_complex_start(struct pci_complex *complex, bool fresh);
void pci_complex_free(struct pci_complex *complex);

/* Save, check and load the root complex and its functions. Call them only if a device is in a slot.
 * pci_complex_valid() returns 0, or -1 with the reason in why. Main thread, machine paused. */
void pci_complex_save(struct pci_complex *complex, struct record_writer *writer);
/* Returns at least the bytes that pci_complex_save() writes. */
size_t pci_complex_state_size(const struct pci_complex *complex);
int pci_complex_valid(const struct pci_complex *complex, const struct record *group,
		      struct why *why);
void pci_complex_load(struct pci_complex *complex, const struct record *group);

/* Returns the complex of these devices; NULL if none is in a slot. */
struct pci_complex *pci_complex_of(const struct devices *devices);
/* Returns the number of the device's messages that were dropped without bus mastering. */
uint64_t pci_complex_dropped(const struct device *device);
/* Returns the slot with this index among the slots with devices; PCI_SLOTS if there are fewer. */
uint32_t pci_complex_slot(const struct pci_complex *complex, uint32_t index);
/* Returns the global system interrupt of a pin (from 0) of a slot. */
uint8_t pci_complex_line(const struct pci_complex *complex, uint32_t slot, uint32_t pin);

#endif
