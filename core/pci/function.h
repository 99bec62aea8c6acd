/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One PCI function as the guest sees it: 4 KiB of config space, BARs, capabilities, MSI and MSI-X
 * (PCI Express Base Specification 5.0, chapters 6.1, 7.5 and 7.7). It knows neither the bus nor
 * KVM: struct pci_hooks tells its owner what has changed.
 *
 * Threads: build it on the main thread. Afterwards every function here may be called on any thread;
 * each takes the function's lock. The hooks are called under that lock, except reset.
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
#define PCI_REGION_MOST(wide) (1ull << ((wide) ? 62 : 31)) /* bytes of a BAR */
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
	/* Where the guest has put it; mapped: and decodes it. */
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
	/* The region is mapped at another address than before, or no longer. was: as before. */
	void (*moved)(struct pci_function *function, uint32_t region, const struct pci_region *was);
	/* False: not now; it stays pending until pci_function_resume. */
	bool (*message)(struct pci_function *function, const struct pci_message *message);
	/* Whether the function may be a bus master. */
	void (*master)(struct pci_function *function, bool master);
	/* The level of INTx. */
	void (*line)(struct pci_function *function, bool up);
	/* The guest has asked for a reset of the function (FLR). Without the lock. */
	void (*reset)(struct pci_function *function);
	/* The guest reads, or has written, width bytes at an offset of the capability with this
	 * number, counted from the first pci_function_watch. bytes: its contents. NULL: nothing to
	 * do. Without the lock. */
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
	uint32_t next;               /* free byte for a capability */
	uint32_t last;               /* offset of the last capability; 0: none */
	uint32_t msi, msix, express; /* offsets of capabilities; 0: none */
	struct pci_vector *vectors;  /* of MSI-X; owned */
	uint32_t vector_count;
	uint32_t msi_pending, msi_count; /* of MSI: a bit for each; messages */
	bool waiting;                    /* a message that is not masked may be pending */
	bool intx;                       /* the device's interrupt is up */
	uint64_t dropped;                /* messages without bus mastering */
	struct {
		uint32_t at, length;
	} watched[PCI_WATCHED];
	uint32_t watched_count;
};

/* What the function is. */
struct pci_identity {
	uint16_t vendor, device, subsystem_vendor, subsystem;
	uint32_t class_code; /* 24 bits */
	uint8_t revision;
	uint8_t pin; /* 1: INTA; 0: no INTx */
};

/* Builds an empty function. hooks and context stay the caller's. */
void pci_function_init(struct pci_function *function, const struct pci_identity *identity,
		       const struct pci_hooks *hooks, void *context);
void pci_function_free(struct pci_function *function);

/* Adds a BAR, or the ROM at index PCI_ROM. Sizes are rounded up to what a BAR can express. 0, or
 * -1: the index is taken, or the second half of a wide BAR. */
int pci_function_region(struct pci_function *function, uint32_t index, uint32_t space,
			uint64_t size, bool wide, bool prefetchable);
/*
 * Adds a capability of length bytes, of which the first two are the id and the link. Returns its
 * offset, or 0: no room. writable: the bits that the guest can change, or NULL.
 */
uint32_t pci_function_capability(struct pci_function *function, uint8_t id, const void *bytes,
				 const void *writable, size_t length);
/* Reports accesses to length bytes of a capability at an offset to hooks->read and ->written. 0, or
 * -1: there are too many. */
int pci_function_watch(struct pci_function *function, uint32_t at, uint32_t length);
/* Adds MSI-X: the table at table_offset, the pending bits at pba_offset of these BARs. 0, or -1. */
int pci_function_msix(struct pci_function *function, uint32_t vectors, uint32_t table_bar,
		      uint32_t table_offset, uint32_t pba_bar, uint32_t pba_offset);
/* Adds MSI with 1 to 32 messages, a power of 2, 64-bit, with masks. 0, or -1. */
int pci_function_msi(struct pci_function *function, uint32_t messages);
/* Adds the PCI Express capability of an endpoint in the root complex, with FLR. 0, or -1. */
int pci_function_express(struct pci_function *function);
/* Sets the bit of function 0 in a slot with several functions; also after pci_function_seal. */
void pci_function_multiple(struct pci_function *function);
/* Ends the building: what is in config space now is the state after a reset. */
void pci_function_seal(struct pci_function *function);

/* Accesses of the guest. width: 1, 2 or 4; offset + width is inside config space. */
uint32_t pci_function_read(struct pci_function *function, uint32_t offset, uint32_t width);
void pci_function_write(struct pci_function *function, uint32_t offset, uint32_t width,
			uint32_t value);
/* Accesses of 4 or 8 bytes to the MSI-X table and to the pending bits. In the table, those that are
 * not aligned read 0, or are dropped. */
uint64_t pci_msix_read(struct pci_function *function, uint32_t offset, uint32_t width);
void pci_msix_write(struct pci_function *function, uint32_t offset, uint32_t width, uint64_t value);
uint64_t pci_pba_read(struct pci_function *function, uint32_t offset, uint32_t width);

/*
 * The device's interrupts. A message goes out, stays pending while it is masked, or is dropped and
 * counted without bus mastering. Without MSI and MSI-X enabled, nothing happens: returns false.
 */
bool pci_function_notify(struct pci_function *function, uint32_t vector);
void pci_function_intx(struct pci_function *function, bool up);
/* Sends what stayed pending because the hook did not take it. */
void pci_function_resume(struct pci_function *function);

/*
 * Save and load what the guest and the device have changed. Valid checks that a group fits the
 * function: 0, or -1 with the reason in why. Load only such a group. It calls the hooks moved and
 * master; the owner saves the level of INTx. Main thread, machine paused.
 */
void pci_function_save(struct pci_function *function, struct record_writer *writer);
int pci_function_valid(const struct pci_function *function, const struct record *group,
		       struct why *why);
void pci_function_load(struct pci_function *function, const struct record *group);

/* Puts all registers back to their values after a reset, unmaps the regions, and drops what is
 * pending. Does not call hooks->reset. */
void pci_function_reset(struct pci_function *function);

#endif
