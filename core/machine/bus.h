/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bus maps ports and guest physical addresses to devices. Ranges are added while the machine is
 * built. After bus_seal no range is added, and those that were added without a place (BARs) can be
 * placed and moved, also while vCPUs use them.
 *
 * A look-up takes no lock and allocates nothing. It reads the sequence number of the space before
 * and after, and repeats if a range was moved meanwhile: the number is odd while the index changes.
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
 * The lock of a device and the counters that it guards, shared by all ranges of the device. An
 * access touches this cache line and the range's. Caches are cold after an exit, so each further
 * line would cost a miss.
 */
struct bus_gate {
	struct lock lock;
	bool concurrent; /* the device needs no lock */
	/* Written by vCPU threads under the lock; read by any thread. A concurrent device may lose
	 * counts. */
	atomic_uint_least64_t reads, writes;
	atomic_uint_least64_t failures; /* callbacks that returned an error */
	atomic_uint_least64_t refused;  /* mistakes of the plugin: calls and return values */
	atomic_uint_least64_t slow;     /* callbacks that took longer than a second */
} __attribute__((aligned(64)));

static inline void
bus_gate_init(struct bus_gate *gate, bool concurrent)
{
	memset(gate, 0, sizeof(*gate));
	gate->concurrent = concurrent;
}

struct bus_range {
	uint64_t base, length; /* BUS_UNPLACED: it has no place now */
#define BUS_UNPLACED UINT64_MAX
	struct minivmm_device *device; /* of a struct service_host */
	int (*read)(struct minivmm_device *dev, const struct minivmm_access *access,
		    uint64_t *value); /* copied from row by bus_add; so is write */
	int (*write)(struct minivmm_device *dev, const struct minivmm_access *access,
		     uint64_t value);
	struct bus_gate *gate; /* owned by the device */
	uint32_t index;        /* of row in the plugin's table */
	uint32_t widths;       /* set by bus_add. Bit w: the device takes accesses of w bytes */
	const struct minivmm_range *row;
};
_Static_assert(sizeof(struct bus_range) == 64, "one cache line");

/*
 * A place of a range in the index. range and gate are in the caches of no CPU after an exit: they
 * are fetched together.
 */
struct bus_entry {
	uint64_t base;
	struct bus_range *range;
	struct bus_gate *gate; /* of range */
} __attribute__((aligned(32)));

struct bus_space {
	uint32_t sequence; /* odd: the index changes */
	uint32_t placed;   /* entries */
	/*
	 * MMIO, once sealed: the ranges that have a place, sorted by base. marks[i] is the index of
	 * the last entry at or below first + (i << shift), of the first part. first is the base of
	 * entries[0]; marks has parts + 1 elements.
	 */
	struct bus_entry *entries;
	uint64_t first;
	uint32_t *marks, shift, parts;
	/* Port space, once sealed: 1 + index of the range at each port; 0: no range. */
	uint16_t *ports;
	struct bus_range *ranges; /* sorted by base at the seal, those without a place at the end */
	uint32_t count, capacity;
	bool stale;                 /* ranges have moved since the index was made */
	uint32_t fixed;             /* ranges that have had their place at the seal */
	struct bus_range **sorting; /* room for count pointers */
};

#define BUS_UNCLAIMED_LOGGED 8 /* different addresses */

#define BUS_PORTS 65536u

struct bus {
	struct bus_space pio, mmio;
	bool sealed, many;
	struct lock moving;              /* held while the index of a space changes */
	atomic_uint_least64_t unclaimed; /* accesses that no range claims */
	/* Keys of the unclaimed addresses that have been logged; 0: free. */
	atomic_uint_least64_t unclaimed_logged[BUS_UNCLAIMED_LOGGED];
};

/* Adds a copy of range; its row names the space. where ("x.ini:3") begins error messages. 0 or a
 * negative status: the range overlaps another, or does not fit into the space. Main thread. */
int bus_add(struct bus *bus, const struct bus_range *range, const char *where);
/* The same for a range without a place, a BAR: base is ignored. */
int bus_add_unplaced(struct bus *bus, const struct bus_range *range, const char *where);
/* Sorts the ranges and builds the look-up tables; call it once. 0 or a negative status: no memory.
 * Main thread, before a vCPU runs. */
int bus_seal(struct bus *bus);
void bus_free(struct bus *bus);
/*
 * Moves a range that was added without a place; base BUS_UNPLACED takes its place from it. Accesses
 * that have begun at the old place end there. The guest may let ranges overlap: a port belongs to
 * the range that was placed at the seal, else to the one with the higher index; an address to the
 * range that begins last, to the longest of those. Any thread.
 */
void bus_place(struct bus *bus, struct bus_range *range, uint64_t base);
/* Begins or ends moves of many ranges while no vCPU runs: only the end updates the index. */
void bus_place_many(struct bus *bus, bool begin);

/* Whether a range that was placed at the seal lies in [base, base + length); stores its end. */
bool bus_taken(const struct bus *bus, uint32_t space, uint64_t base, uint64_t length,
	       uint64_t *end);

/* The device's next range in a space (enum minivmm_space); after NULL, its first. NULL: no more. */
const struct bus_range *bus_next(const struct bus *bus, uint32_t space,
				 const struct minivmm_device *device,
				 const struct bus_range *after);

#define BUS_LOAD(member) __atomic_load_n(&(member), __ATOMIC_ACQUIRE)

/*
 * Finds the last entry that begins at or before address. The index may change meanwhile: all that
 * is read stays inside the arrays. NULL: none.
 */
static inline const struct bus_entry *
bus_search(const struct bus_space *space, uint64_t address)
{
	const struct bus_entry *entry = space->entries;
	uint64_t first = BUS_LOAD(space->first), part;
	uint32_t begin, end, count;

	if (!BUS_LOAD(space->placed) || address < first)
		return NULL;
	part = (address - first) >> BUS_LOAD(space->shift);
	part = part < space->parts ? part : space->parts - 1;
	begin = BUS_LOAD(space->marks[part]);
	end = BUS_LOAD(space->marks[part + 1]);
	entry += begin;
	count = end > begin ? end - begin + 1 : 1;
	while (count > 1) { /* compiles to conditional moves: no branch to mispredict */
		uint32_t half = count / 2;

		entry = BUS_LOAD(entry[half].base) <= address ? entry + half : entry;
		count -= half;
	}
	return entry;
}

/* The range that starts last at or before address, or NULL; *offset: of the address in it. */
static inline struct bus_range *
bus_mmio(const struct bus *bus, uint64_t address, uint64_t *offset)
{
	const struct bus_space *space = &bus->mmio;
	const struct bus_entry *entry;
	struct bus_range *range;
	uint32_t sequence;

	do {
		sequence = BUS_LOAD(space->sequence);
		range = NULL;
		entry = bus_search(space, address);
		if (entry) {
			__builtin_prefetch(BUS_LOAD(entry->gate), 1);
			*offset = address - BUS_LOAD(entry->base);
			range = BUS_LOAD(entry->range);
		}
	} while (__builtin_expect(sequence & 1 || sequence != BUS_LOAD(space->sequence), 0));
	return range;
}

static inline struct bus_range *
bus_pio(const struct bus *bus, uint64_t port, uint64_t *offset)
{
	const struct bus_space *space = &bus->pio;
	struct bus_range *range;
	uint32_t sequence;
	uint16_t slot;

	do {
		sequence = BUS_LOAD(space->sequence);
		slot = BUS_LOAD(space->ports[port & (BUS_PORTS - 1)]);
		range = slot ? &space->ranges[slot - 1u] : NULL;
		if (range)
			*offset = port - BUS_LOAD(range->base);
	} while (__builtin_expect(sequence & 1 || sequence != BUS_LOAD(space->sequence), 0));
	return range;
}

/* Whether [offset, offset + width) is inside the range. */
static inline bool
bus_inside(const struct bus_range *range, uint64_t offset, uint32_t width)
{
	return offset < range->length && width <= range->length - offset;
}

/* The range that holds all of [address, address + width), or NULL; *offset: of the address in it.
 */
static inline struct bus_range *
bus_find(const struct bus *bus, uint32_t space, uint64_t address, uint32_t width, uint64_t *offset)
{
	struct bus_range *range =
	    space == MINIVMM_PIO ? bus_pio(bus, address, offset) : bus_mmio(bus, address, offset);

	return range && bus_inside(range, *offset, width) ? range : NULL;
}

/* The callback that this thread runs: for services and the crash report. callback NULL: none. */
struct bus_current {
	struct minivmm_device *device; /* NULL: the plugin's object is loaded or unloaded */
	const char *callback;
	const char *object; /* path, with device NULL */
	uint64_t offset;    /* of the access in its range, or BUS_NO_ACCESS */
#define BUS_NO_ACCESS UINT64_MAX
	uint32_t phase, thread; /* SERVICE_...; not set for an access */
	uint64_t count;         /* of callbacks that were no accesses */
};
extern _Thread_local struct bus_current bus_current;

/* Set and clear bus_current. Another thread may look at it meanwhile. */
static inline void
bus_enter(struct bus_current *current, struct minivmm_device *device, const char *callback,
	  uint64_t offset)
{
	__atomic_store_n(&current->device, device, __ATOMIC_RELAXED);
	__atomic_store_n(&current->offset, offset, __ATOMIC_RELAXED);
	__atomic_store_n(&current->callback, callback, __ATOMIC_RELEASE);
}

static inline void
bus_leave(struct bus_current *current)
{
	__atomic_store_n(&current->callback, NULL, __ATOMIC_RELAXED);
}

/* Copies another thread's bus_current. callback and device may belong to two callbacks. */
static inline void
bus_look(const struct bus_current *from, struct bus_current *to)
{
	to->callback = __atomic_load_n(&from->callback, __ATOMIC_ACQUIRE);
	to->device = __atomic_load_n(&from->device, __ATOMIC_RELAXED);
	to->offset = __atomic_load_n(&from->offset, __ATOMIC_RELAXED);
	to->count = __atomic_load_n(&from->count, __ATOMIC_RELAXED);
}

/* Increments a counter that one thread at a time writes: without a locked instruction. */
static inline void
bus_count(atomic_uint_least64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/*
 * Calls the device for one access, whose width must be in range->widths. A read stores into *value,
 * a write passes it. current is &bus_current of this thread. Returns the callback's result, or -1
 * if the range has no read callback. Unless it is 0, call bus_settle.
 */
static inline int
bus_call(struct bus_range *range, const struct minivmm_access *access, bool write, uint64_t *value,
	 struct bus_current *current)
{
	struct bus_gate *gate = range->gate;
	bool concurrent = gate->concurrent;
	int r;

	if (!concurrent)
		lock_take(&gate->lock);
	if (write) {
		bus_enter(current, range->device, "write", access->offset);
		r = range->write ? range->write(range->device, access, *value) : 0;
		bus_count(&gate->writes);
	} else {
		*value = 0;
		bus_enter(current, range->device, "read", access->offset);
		r = range->read ? range->read(range->device, access, value) : -1;
		bus_count(&gate->reads);
	}
	bus_leave(current);
	if (!concurrent)
		lock_release(&gate->lock);
	return r;
}

/*
 * Settles a bus_call that has not returned 0. Waits for the value of a deferred access. Counts a
 * failure, and reports a result that is reserved; the value of a read becomes all ones. The thread
 * of access->vcpu.
 */
void bus_settle(struct bus_range *range, const struct minivmm_access *access, bool write,
		int result, uint64_t *value);

/*
 * Performs a guest access of width bytes (1 to 8) at data. Splits it into widths that the device
 * takes. An unclaimed read returns all ones; an unclaimed write is dropped: the guest never sees an
 * error. Returns the range, or NULL if no range claims the access. Any vCPU thread.
 */
struct bus_range *bus_access(struct bus *bus, uint32_t space, uint64_t address, bool write,
			     void *data, uint32_t width, uint32_t vcpu);

#endif
