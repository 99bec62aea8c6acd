/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bus: who answers at which port or guest physical address. Ranges are added while the machine
 * is built, then sealed; from then on look-up takes no lock and allocates nothing.
 */
#ifndef MACHINE_BUS_H
#define MACHINE_BUS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock.h"
#include "minivmm/plugin.h"

/*
 * What the accesses to a device share: its lock, and what is counted under it. All that an access
 * touches beside the range's own line, in one line: after an exit each line is a miss.
 */
struct bus_gate {
	struct lock lock;
	bool concurrent; /* the device needs no lock */
	/* By vCPU threads under the lock, read by any; of a concurrent device some may be lost. */
	atomic_uint_least64_t reads, writes;
	atomic_uint_least64_t failures; /* callbacks that returned an error */
} __attribute__((aligned(64)));

struct bus_range {
	uint64_t base, length;
	struct minivmm_device *device;
	int (*read)(struct minivmm_device *dev, const struct minivmm_access *access,
		    uint64_t *value); /* the row's, by bus_add */
	int (*write)(struct minivmm_device *dev, const struct minivmm_access *access,
		     uint64_t value);
	struct bus_gate *gate; /* the device's */
	uint32_t index;        /* of the row in its table */
	uint32_t widths;       /* by bus_add; BUS_ANY_WIDTH: 3, 5, 6 and 7 as well */
	const struct minivmm_range *row;
};
_Static_assert(sizeof(struct bus_range) == 64, "one cache line");

struct bus_space {
	struct bus_range *ranges; /* sorted by base once sealed */
	size_t count, capacity;
	/* Of the port space, sealed: 1 + index of the range at each port. */
	uint16_t *ports;
	/* Of MMIO, sealed: the ranges' bases, and marks[i]: the last of them that is at or below
	 * bases[0] + (i << shift). */
	uint64_t *bases;
	uint32_t *marks, shift;
};

#define BUS_STRAY_LOGGED 8
#define BUS_ANY_WIDTH 0x1fu

struct bus {
	struct bus_space pio, mmio;
	bool sealed;
	atomic_uint_least64_t stray; /* accesses that nobody answered */
	atomic_uint stray_logged;
};

/* Adds a range; its row names the space. where: "x.ini:3", put before errors. Returns 0 or a negative status (overlap: both devices are
 * named). */
int bus_add(struct bus *bus, const struct bus_range *range, const char *where);
int bus_seal(struct bus *bus);
void bus_free(struct bus *bus);

/* The range that holds all of [address, address + width), or NULL. */
struct bus_range *bus_find(struct bus *bus, uint32_t space, uint64_t address, uint32_t width);

/*
 * One access of 1 to 8 bytes at data, whatever the device takes: splits it, or answers all ones and
 * drops it when nobody does. Never fails for the guest. Returns the range, or NULL. Any vCPU
 * thread.
 */
struct bus_range *bus_access(struct bus *bus, uint32_t space, uint64_t address, bool write,
			     void *data, uint32_t width, uint32_t vcpu);

/*
 * The callback that this thread is in, for the report of a crash. NULL callback:
 * none.
 */
struct bus_current {
	const struct minivmm_device *device;
	const char *callback;
	uint64_t offset;
};
extern _Thread_local struct bus_current bus_current;

#endif
