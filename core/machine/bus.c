/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus: ranges, look-up, and one access whatever its width. */
#include "machine/bus.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

#define PORTS 65536u

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
	if (space->count == space->capacity) {
		size_t capacity = space->capacity ? 2 * space->capacity : 16;
		struct bus_range *ranges = realloc(space->ranges, capacity * sizeof(*ranges));

		if (!ranges)
			return fail(STATUS_HOST, "no memory for the bus");
		space->ranges = ranges;
		space->capacity = capacity;
	}
	space->ranges[space->count] = *range;
	space->ranges[space->count].widths =
	    range->row->widths ? range->row->widths
			       : MINIVMM_W8 | MINIVMM_W16 | MINIVMM_W32 | MINIVMM_W64;
	space->count++;
	return 0;
}

static int
by_base(const void *a, const void *b)
{
	const struct bus_range *x = a, *y = b;

	return x->base < y->base ? -1 : x->base > y->base;
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
	if (!bus->pio.ports)
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
	*bus = (struct bus){ 0 };
}

static struct bus_range *
find_mmio(struct bus_space *space, uint64_t address)
{
	struct bus_range *base = space->ranges;
	size_t count = space->count;

	if (!count)
		return NULL;
	while (count > 1) { /* the last range that starts at or before address; no branch to miss */
		size_t half = count / 2;

		base = base[half].base <= address ? base + half : base;
		count -= half;
	}
	return base->base <= address ? base : NULL;
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
	return range->row->widths ? piece(range, width) : width;
}

static void
failed(struct bus_range *range)
{
	if (range->failures)
		atomic_fetch_add_explicit(range->failures, 1, memory_order_relaxed);
}

/* Calls the device for one piece. The guest sees all ones where a read fails. */
static void
call(struct bus_range *range, struct minivmm_access *access, bool write, void *data)
{
	struct minivmm_device *device = range->device;
	uint64_t value = 0;
	int r;

	bus_current.device = device->name;
	bus_current.callback = write ? "write" : "read";
	bus_current.offset = access->offset;
	if (range->lock)
		pthread_mutex_lock(range->lock);
	if (write) {
		memcpy(&value, data, access->width);
		r = range->row->write ? range->row->write(device, access, value) : 0;
		range->writes++;
	} else {
		r = range->row->read ? range->row->read(device, access, &value) : -1;
		range->reads++;
	}
	if (range->lock)
		pthread_mutex_unlock(range->lock);
	bus_current.callback = NULL;
	if (r < 0 && (write || range->row->read))
		failed(range);
	if (!write) {
		if (r < 0)
			value = UINT64_MAX;
		memcpy(data, &value, access->width);
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

struct bus_range *
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

void
bus_count(const struct bus *bus, const struct minivmm_device *device, uint64_t *reads,
	  uint64_t *writes)
{
	const struct bus_space *spaces[] = { &bus->pio, &bus->mmio };

	for (int s = 0; s < 2; s++)
		for (size_t i = 0; i < spaces[s]->count; i++)
			if (spaces[s]->ranges[i].device == device) {
				*reads += spaces[s]->ranges[i].reads;
				*writes += spaces[s]->ranges[i].writes;
			}
}
