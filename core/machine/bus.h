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
#include <string.h>

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

static inline void
bus_gate_init(struct bus_gate *gate, bool concurrent)
{
	memset(gate, 0, sizeof(*gate));
	gate->concurrent = concurrent;
}

struct bus_range {
	uint64_t base, length;
	struct minivmm_device *device;
	int (*read)(struct minivmm_device *dev, const struct minivmm_access *access,
		    uint64_t *value); /* the row's, by bus_add */
	int (*write)(struct minivmm_device *dev, const struct minivmm_access *access,
		     uint64_t value);
	struct bus_gate *gate; /* the device's */
	uint32_t index;        /* of the row in its table */
	uint32_t widths;       /* by bus_add: bit w: an access of w bytes is taken as a whole */
	const struct minivmm_range *row;
};
_Static_assert(sizeof(struct bus_range) == 64, "one cache line");

struct bus_space {
	struct bus_range *ranges; /* sorted by base once sealed */
	uint32_t count, capacity;
	/* Of the port space, sealed: 1 + index of the range at each port. */
	uint16_t *ports;
	/* Of MMIO, sealed: the ranges' bases, and marks[i]: the last of them that is at or below
	 * bases[0] + (i << shift). */
	uint64_t *bases, first;
	uint32_t *marks, shift, parts;
};

#define BUS_UNCLAIMED_LOGGED 8 /* addresses */

#define BUS_PORTS 65536u

struct bus {
	struct bus_space pio, mmio;
	bool sealed;
	atomic_uint_least64_t unclaimed; /* accesses that nobody answered */
	atomic_uint_least64_t
	    unclaimed_logged[BUS_UNCLAIMED_LOGGED]; /* those that have been logged; 0: none yet */
};

/* Adds a range; its row names the space. where: "x.ini:3", put before errors. Returns 0 or a
 * negative status (overlap: both devices are named). */
int bus_add(struct bus *bus, const struct bus_range *range, const char *where);
int bus_seal(struct bus *bus);
void bus_free(struct bus *bus);

/* The next range of a device in a space, the first after NULL; NULL: there are no more. */
const struct bus_range *bus_next(const struct bus *bus, uint32_t space,
				 const struct minivmm_device *device,
				 const struct bus_range *after);

/* The last range that starts at or before address, or NULL. */
static inline struct bus_range *
bus_mmio(const struct bus *bus, uint64_t address)
{
	const struct bus_space *space = &bus->mmio;
	const uint64_t *base = space->bases;
	uint64_t part;
	uint32_t count;

	if (!space->count || address < space->first)
		return NULL;
	part = (address - space->first) >> space->shift;
	part = part < space->parts ? part : space->parts - 1;
	base += space->marks[part];
	count = space->marks[part + 1] - space->marks[part] + 1;
	while (count > 1) { /* no branch to miss */
		uint32_t half = count / 2;

		base = base[half] <= address ? base + half : base;
		count -= half;
	}
	return &space->ranges[base - space->bases];
}

static inline struct bus_range *
bus_pio(const struct bus *bus, uint64_t port)
{
	uint16_t slot = bus->pio.ports[port & (BUS_PORTS - 1)];

	return slot ? &bus->pio.ranges[slot - 1] : NULL;
}

/* Is [address, address + width) inside the range? */
static inline bool
bus_inside(const struct bus_range *range, uint64_t address, uint32_t width)
{
	uint64_t offset = address - range->base;

	return offset < range->length && width <= range->length - offset;
}

/* The range that holds all of [address, address + width), or NULL. */
static inline struct bus_range *
bus_find(const struct bus *bus, uint32_t space, uint64_t address, uint32_t width)
{
	struct bus_range *range =
	    space == MINIVMM_PIO ? bus_pio(bus, address) : bus_mmio(bus, address);

	return range && bus_inside(range, address, width) ? range : NULL;
}

/*
 * The callback that this thread is in, for the report of a crash. NULL callback:
 * none.
 */
struct bus_current {
	const struct minivmm_device *device;
	const char *callback;
	uint64_t offset; /* of the access in its range, or: */
#define BUS_NO_ACCESS UINT64_MAX
};
extern _Thread_local struct bus_current bus_current;

/* Without a locked instruction: one thread at a time writes it. */
static inline void
bus_count(atomic_uint_least64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/*
 * Calls the device for an access that it takes as a whole. Reads into and writes from value; false:
 * it failed, or nobody answers; a read is all ones then.
 */
static inline bool
bus_call(struct bus_range *range, const struct minivmm_access *access, bool write, uint64_t *value,
	 struct bus_current *current)
{
	struct bus_gate *gate = range->gate;
	bool concurrent = gate->concurrent;
	int r;

	if (!concurrent)
		lock_take(&gate->lock);
	current->device = range->device;
	current->offset = access->offset;
	if (write) {
		current->callback = "write";
		r = range->write ? range->write(range->device, access, *value) : 0;
		bus_count(&gate->writes);
	} else {
		*value = 0;
		current->callback = "read";
		r = range->read ? range->read(range->device, access, value) : -1;
		bus_count(&gate->reads);
	}
	current->callback = NULL;
	if (!concurrent)
		lock_release(&gate->lock);
	return r >= 0;
}

/* What follows a call that failed. */
void bus_failed(struct bus_range *range, bool write, uint64_t *value);

/*
 * One access of 1 to 8 bytes at data, whatever the device takes: splits it, or answers all ones and
 * drops it when nobody does. Never fails for the guest. Returns the range, or NULL. Any vCPU
 * thread.
 */
struct bus_range *bus_access(struct bus *bus, uint32_t space, uint64_t address, bool write,
			     void *data, uint32_t width, uint32_t vcpu);

#endif
