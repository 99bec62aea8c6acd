/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus: ranges, look-up, and one access whatever its width. */
#include "machine/bus.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define PORTS 65536u
#define MARKS(space) (4 * (space)->count)

_Thread_local struct bus_current bus_current;

static struct bus_space *
space_of(struct bus *bus, uint32_t space)
{
	return space == MINIVMM_PIO ? &bus->pio : &bus->mmio;
}

static const char *
space_name(uint32_t space)
{
	return space == MINIVMM_PIO ? "ports" : "addresses";
}

int
bus_add(struct bus *bus, const struct bus_range *range, const char *where)
{
	struct bus_space *space = space_of(bus, range->row->space);
	uint64_t limit = range->row->space == MINIVMM_PIO ? PORTS : UINT64_MAX, end;

	if (bus->sealed)
		return fail(STATUS_BUG, "%s: a range can't be added while the machine runs",
			    range->device->name);
	if (!range->length || __builtin_add_overflow(range->base, range->length, &end) ||
	    end > limit)
		return fail(STATUS_USAGE,
			    "%s: %s: 0x%llx %s from 0x%llx do not fit; the last is 0x%llx", where,
			    range->device->name, (unsigned long long)range->length,
			    space_name(range->row->space), (unsigned long long)range->base,
			    (unsigned long long)(limit - 1));
	for (size_t i = 0; i < space->count; i++) {
		const struct bus_range *other = &space->ranges[i];

		if (range->base < other->base + other->length && other->base < end)
			return fail(
			    STATUS_USAGE,
			    "%s: %s and %s both claim %s 0x%llx to 0x%llx; move one of them", where,
			    other->device->name, range->device->name, space_name(range->row->space),
			    (unsigned long long)(range->base > other->base ? range->base
									   : other->base),
			    (unsigned long long)((end < other->base + other->length
						      ? end
						      : other->base + other->length) -
						 1));
	}
	if (range->row->space == MINIVMM_PIO && space->count == UINT16_MAX)
		return fail(STATUS_USAGE, "%s: %s: more ranges of ports than there can be", where,
			    range->device->name);
	if (space->count == space->capacity) {
		size_t capacity = space->capacity ? 2 * space->capacity : 16;
		struct bus_range *ranges = aligned_alloc(64, capacity * sizeof(*ranges));

		if (!ranges)
			return fail(STATUS_HOST, "no memory for the bus");
		if (space->count)
			memcpy(ranges, space->ranges, space->count * sizeof(*ranges));
		free(space->ranges);
		space->ranges = ranges;
		space->capacity = capacity;
	}
	space->ranges[space->count] = *range;
	space->ranges[space->count].read = range->row->read;
	space->ranges[space->count].write = range->row->write;
	space->ranges[space->count].widths =
	    range->row->widths ? range->row->widths : BUS_ANY_WIDTH;
	space->count++;
	return 0;
}

static int
by_base(const void *a, const void *b)
{
	const struct bus_range *x = a, *y = b;

	return x->base < y->base ? -1 : x->base > y->base;
}

/*
 * Divides the addresses from the first range's base to the last one's into equal parts, so that a
 * look-up has to search only among the ranges that start in one of them.
 */
static int
mark(struct bus_space *space)
{
	size_t count = space->count, range = 0;

	if (!count)
		return 0;
	space->bases = calloc(count, sizeof(*space->bases));
	space->marks = calloc(MARKS(space) + 1, sizeof(*space->marks));
	if (!space->bases || !space->marks)
		return -1;
	for (size_t i = 0; i < count; i++)
		space->bases[i] = space->ranges[i].base;
	while ((space->bases[count - 1] - space->bases[0]) >> space->shift >= MARKS(space))
		space->shift++;
	for (uint64_t i = 0; i <= MARKS(space); i++) {
		while (range + 1 < count &&
		       (space->bases[range + 1] - space->bases[0] - 1) >> space->shift < i)
			range++;
		space->marks[i] = (uint32_t)range;
	}
	return 0;
}

/* Ports are few enough for a table of all; pages of it that no range touches stay unallocated. */
int
bus_seal(struct bus *bus)
{
	if (bus->pio.count)
		qsort(bus->pio.ranges, bus->pio.count, sizeof(struct bus_range), by_base);
	if (bus->mmio.count)
		qsort(bus->mmio.ranges, bus->mmio.count, sizeof(struct bus_range), by_base);
	bus->pio.ports = calloc(PORTS, sizeof(uint16_t));
	if (!bus->pio.ports || mark(&bus->mmio))
		return fail(STATUS_HOST, "no memory for the bus");
	for (size_t i = 0; i < bus->pio.count; i++)
		for (uint64_t port = 0; port < bus->pio.ranges[i].length; port++)
			bus->pio.ports[bus->pio.ranges[i].base + port] = (uint16_t)(i + 1);
	bus->sealed = true;
	return 0;
}

void
bus_free(struct bus *bus)
{
	free(bus->pio.ranges);
	free(bus->pio.ports);
	free(bus->mmio.ranges);
	free(bus->mmio.bases);
	free(bus->mmio.marks);
	*bus = (struct bus){ 0 };
}

/* The last range that starts at or before address. */
static inline struct bus_range *
find_mmio(struct bus_space *space, uint64_t address)
{
	const uint64_t *base = space->bases;
	uint64_t part;
	size_t count;

	if (!space->count || address < *base)
		return NULL;
	part = (address - *base) >> space->shift;
	if (part >= MARKS(space))
		part = MARKS(space) - 1;
	base += space->marks[part];
	count = space->marks[part + 1] - space->marks[part] + 1;
	while (count > 1) { /* no branch to miss */
		size_t half = count / 2;

		base = base[half] <= address ? base + half : base;
		count -= half;
	}
	return &space->ranges[base - space->bases];
}

struct bus_range *
bus_find(struct bus *bus, uint32_t space, uint64_t address, uint32_t width)
{
	struct bus_range *range;

	if (space == MINIVMM_PIO) {
		uint16_t slot = bus->pio.ports[address & (PORTS - 1)];

		range = slot ? &bus->pio.ranges[slot - 1] : NULL;
	} else
		range = find_mmio(&bus->mmio, address);
	if (!range || address - range->base >= range->length ||
	    width > range->length - (address - range->base))
		return NULL;
	return range;
}

/* The widest that the range takes and that fits into width bytes; 0: none. */
static uint32_t
piece(const struct bus_range *range, uint32_t width)
{
	for (uint32_t w = 8; w; w /= 2)
		if (w <= width && range->widths & w)
			return w;
	return 0;
}

/* Any width: a range without widths of its own takes 3, 5, 6 and 7 as well. */
static uint32_t
next_width(const struct bus_range *range, uint32_t width)
{
	return range->widths == BUS_ANY_WIDTH ? width : piece(range, width);
}

static void
failed(struct bus_range *range)
{
	atomic_fetch_add_explicit(&range->gate->failures, 1, memory_order_relaxed);
}

/* memcpy of a width that the compiler does not know: the usual ones without a call. */
static inline void
copy(void *to, const void *from, uint32_t width)
{
	switch (width) {
	case 1:
		memcpy(to, from, 1);
		break;
	case 2:
		memcpy(to, from, 2);
		break;
	case 4:
		memcpy(to, from, 4);
		break;
	case 8:
		memcpy(to, from, 8);
		break;
	default:
		memcpy(to, from, width);
	}
}

/* Without a locked instruction: the lock is held. */
static inline void
count(atomic_uint_least64_t *counter)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + 1,
			      memory_order_relaxed);
}

/* Calls the device for one piece. The guest sees all ones where a read fails. */
static void
call(struct bus_range *range, struct minivmm_access *access, bool write, void *data)
{
	struct minivmm_device *device = range->device;
	struct bus_gate *gate = range->gate;
	uint64_t value = 0;
	int r;

	if (!gate->concurrent)
		lock_take(&gate->lock);
	bus_current.device = device;
	bus_current.callback = write ? "write" : "read";
	bus_current.offset = access->offset;
	if (write) {
		copy(&value, data, access->width);
		r = range->write ? range->write(device, access, value) : 0;
		count(&gate->writes);
	} else {
		r = range->read ? range->read(device, access, &value) : -1;
		count(&gate->reads);
	}
	bus_current.callback = NULL;
	if (!gate->concurrent)
		lock_release(&gate->lock);
	if (r < 0 && (write || range->read))
		failed(range);
	if (!write) {
		if (r < 0)
			value = UINT64_MAX;
		copy(data, &value, access->width);
	}
}

static void
stray(struct bus *bus, uint32_t space, uint64_t address, bool write, uint32_t width)
{
	atomic_fetch_add_explicit(&bus->stray, 1, memory_order_relaxed);
	if (atomic_load_explicit(&bus->stray_logged, memory_order_relaxed) < BUS_STRAY_LOGGED &&
	    atomic_fetch_add(&bus->stray_logged, 1) < BUS_STRAY_LOGGED)
		log_line(MINIVMM_WARNING, NULL, "nobody answers a %u-byte %s at %s 0x%llx", width,
			 write ? "write" : "read", space == MINIVMM_PIO ? "port" : "address",
			 (unsigned long long)address);
}

/* In one piece: after an exit the caches are cold, and each function costs as much as its work. */
__attribute__((hot, flatten)) struct bus_range *
bus_access(struct bus *bus, uint32_t space, uint64_t address, bool write, void *data,
	   uint32_t width, uint32_t vcpu)
{
	struct bus_range *range = bus_find(bus, space, address, width);
	struct minivmm_access access;
	uint32_t done = 0;

	if (!range) {
		if (!write)
			memset(data, 0xff, width);
		stray(bus, space, address, write, width);
		return NULL;
	}
	access = (struct minivmm_access){
		.address = address,
		.offset = address - range->base,
		.range = range->index,
		.vcpu = vcpu,
	};
	do {
		access.width = next_width(range, width - done);
		if (!access.width) { /* narrower than anything that the device takes */
			if (!write)
				memset((uint8_t *)data + done, 0xff, width - done);
			failed(range);
			return range;
		}
		call(range, &access, write, (uint8_t *)data + done);
		done += access.width;
		access.offset += access.width;
		access.address += access.width;
	} while (done < width);
	return range;
}
