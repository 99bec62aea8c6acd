/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One PCI function as the guest sees it: 4 KiB of config space, BARs, capabilities, MSI and MSI-X
 * (PCI Express Base Specification 5.0, chapters 6.1, 7.5 and 7.7). It does not use the bus or KVM:
 * it reports changes to its owner through struct pci_hooks.
 *
 * Threads: build it on the main thread. Afterwards, any thread may call any function here; each
 * takes the function's lock. Hooks are called under this lock, except reset, read and written.
 */
#ifndef PCI_FUNCTION_H
#define PCI_FUNCTION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/record.h"
#include "base/why.h"
#include "minivmm/plugin.h"

#define PCI_CONFIG_BYTES 4096u
#define PCI_BARS 6u
#define PCI_ROM 6u /* the index of the expansion ROM among the BARs */
#define PCI_REGIONS 7u
#define PCI_REGION_MOST(wide) (1ull << ((wide) ? 62 : 31)) /* maximum size of a BAR in bytes */
#define PCI_VECTORS_MAX 2048u
#define PCI_LINE_NONE 0xffu

/* Offsets in config space (table 7-60 and after). */
enum pci_register {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09, /* 3 bytes: interface, subclass, class */
	PCI_CACHE_LINE = 0x0c,
	PCI_LATENCY = 0x0d,
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_ROM_ADDRESS = 0x30,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
	PCI_FIRST_CAPABILITY = 0x40,
	PCI_EXTENDED = 0x100,
};

enum { /* bits of the command register */
       PCI_DECODE_IO = 1 << 0,
       PCI_DECODE_MEMORY = 1 << 1,
       PCI_BUS_MASTER = 1 << 2,
       PCI_NO_INTX = 1 << 10,
};
#define PCI_STATUS_INTX (1u << 3)
#define PCI_STATUS_LIST (1u << 4)
#define PCI_MULTIFUNCTION 0x80u

enum { PCI_CAP_MSI = 5, PCI_CAP_VENDOR = 9, PCI_CAP_EXPRESS = 16, PCI_CAP_MSIX = 17 };

/* A BAR, or the expansion ROM. */
struct pci_region {
	uint64_t size;  /* bytes, a power of 2; 0: there is none */
	uint32_t space; /* MINIVMM_PIO or MINIVMM_MMIO */
	bool wide, prefetchable;
	/* base: the address that the guest has set. mapped: the function decodes it. */
	uint64_t base;
	bool mapped;
};

/* A message: a write of data to address. */
struct pci_message {
	uint64_t address;
	uint32_t data;
};

struct pci_function;
struct pci_hooks {
	/* The region has moved, or was mapped or unmapped. was: its old state. */
	void (*moved)(struct pci_function *function, uint32_t region, const struct pci_region *was);
	/* Sends a message. Returns false if it must stay pending until pci_function_resume(). */
	bool (*message)(struct pci_function *function, const struct pci_message *message);
	/* Sets whether the function is a bus master; also called without a change. */
	void (*master)(struct pci_function *function, bool master);
	/* Sets the level of INTx. */
	void (*line)(struct pci_function *function, bool up);
	/* The guest has requested a reset of the function (FLR). Called without the lock. */
	void (*reset)(struct pci_function *function);
	/* The guest reads, or has written, width bytes at an offset in a watched capability.
	 * number: its index in the order of pci_function_watch(). bytes: a copy of the capability.
	 * Called without the lock. May be NULL if no capability is watched. */
	void (*read)(struct pci_function *function, uint32_t number, const uint8_t *bytes,
		     uint32_t offset, uint32_t width, uint32_t *value);
	void (*written)(struct pci_function *function, uint32_t number, const uint8_t *bytes,
			uint32_t offset, uint32_t width);
};

struct pci_vector {
	struct pci_message message;
	bool masked, pending;
};

#define PCI_WATCHED 16u /* capabilities whose accesses a function reports, at most */

struct pci_function {
	const struct pci_hooks *hooks;
	void *context; /* the owner's */
	pthread_mutex_t lock;
	uint8_t config[PCI_CONFIG_BYTES];
	uint8_t writable[PCI_CONFIG_BYTES]; /* bits that the guest can change */
	uint8_t initial[PCI_CONFIG_BYTES];  /* after a reset */
	struct pci_region regions[PCI_REGIONS];
	uint32_t next;               /* offset of the next capability */
	uint32_t last;               /* offset of the last capability; 0: none */
	uint32_t msi, msix, express; /* offsets of capabilities; 0: none */
	struct pci_vector *vectors;  /* of MSI-X; owned */
	uint32_t vector_count;
	uint32_t msi_pending, msi_count; /* of MSI: a bit for each; messages */
	bool waiting;                    /* a pending message may be unmasked */
	bool intx;                       /* the device asserts its interrupt */
	uint64_t dropped;                /* messages, without bus mastering */
	struct {
		uint32_t at, length;
	} watched[PCI_WATCHED];
	uint32_t watched_count;
};

/* The read-only registers that identify the function. */
struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits */
	uint8_t revision;
	uint8_t pin; /* 1: INTA; 0: no INTx */
};

/* Initializes a function without BARs and capabilities. The caller owns hooks and context. */
void pci_function_init(struct pci_function *function, const struct pci_identity *identity,
		       const struct pci_hooks *hooks, void *context);
void pci_function_free(struct pci_function *function);

/* Adds a BAR, or the ROM with the index PCI_ROM. Rounds the size up to a power of 2 that a BAR can
 * have. Returns 0; -1 if the size is invalid or the index is in use, also by the upper half of a
 * wide BAR. */
int pci_function_region(struct pci_function *function, uint32_t index, uint32_t space,
			uint64_t size, bool wide, bool prefetchable);
/*
 * Adds a capability of length bytes; the first two are the id and the link. writable: the bits
 * that the guest can change, or NULL. Returns its offset, or 0 if there is no room.
 */
uint32_t pci_function_capability(struct pci_function *function, uint8_t id, const void *bytes,
				 const void *writable, size_t length);
/* Watches a capability of length bytes at an offset: reports accesses to hooks->read and ->written.
 * Returns 0, or -1 if PCI_WATCHED are watched. */
int pci_function_watch(struct pci_function *function, uint32_t at, uint32_t length);
/* Adds MSI-X, with the table at table_offset of table_bar and the pending bits at pba_offset of
 * pba_bar. Returns 0 or -1. */
int pci_function_msix(struct pci_function *function, uint32_t vectors, uint32_t table_bar,
		      uint32_t table_offset, uint32_t pba_bar, uint32_t pba_offset);
/* Adds MSI with 64-bit addresses and masks. messages: a power of 2, at most 32. Returns 0 or -1. */
int pci_function_msi(struct pci_function *function, uint32_t messages);
/* Adds the PCI Express capability of an endpoint in the root complex, with FLR. Returns 0 or -1. */
int pci_function_express(struct pci_function *function);
/* Sets the multi-function bit of function 0. May be called after pci_function_seal(). */
void pci_function_multiple(struct pci_function *function);
/* Ends the building. The present contents of config space become those after a reset. */
void pci_function_seal(struct pci_function *function);

/* Accesses of the guest. width: 1, 2 or 4; offset + width is inside config space. */
uint32_t pci_function_read(struct pci_function *function, uint32_t offset, uint32_t width);
void pci_function_write(struct pci_function *function, uint32_t offset, uint32_t width,
			uint32_t value);
/* Accesses of 4 or 8 bytes to the MSI-X table and to the pending bits. In the table, an unaligned
 * read returns 0, and an unaligned write is dropped. */
uint64_t pci_msix_read(struct pci_function *function, uint32_t offset, uint32_t width);
void pci_msix_write(struct pci_function *function, uint32_t offset, uint32_t width, uint64_t value);
uint64_t pci_pba_read(struct pci_function *function, uint32_t offset, uint32_t width);

/*
 * The device's interrupts. A message is sent if the function is a bus master, else dropped and
 * counted. It stays pending while it is masked. Returns false, and does nothing, if neither MSI nor
 * MSI-X is enabled.
 */
bool pci_function_notify(struct pci_function *function, uint32_t vector);
void pci_function_intx(struct pci_function *function, bool up);
/* Sends the messages that the hook has refused. */
void pci_function_resume(struct pci_function *function);

/*
 * Save and load the state that the guest and the device can change. pci_function_valid() returns 0,
 * or -1 with the reason in why; load only a valid group. Loading calls the hooks moved and master,
 * but not line: the owner of the interrupt line saves its level. Main thread, machine paused.
 */
void pci_function_save(struct pci_function *function, struct record_writer *writer);
/* Returns at least the bytes that pci_function_save() writes. */
size_t pci_function_state_size(const struct pci_function *function);
int pci_function_valid(const struct pci_function *function, const struct record *group,
		       struct why *why);
void pci_function_load(struct pci_function *function, const struct record *group);

/* Sets all registers to their values after a reset, unmaps the regions, and drops pending
 * messages. Does not call hooks->reset. */
void pci_function_reset(struct pci_function *function);

#endif
