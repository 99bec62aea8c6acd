/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The bus: adds ranges, builds the look-up tables and splits accesses. bus_access() answers an
 * unclaimed read with all ones.
 */
#include "machine/bus.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "machine/layout.h"
#include "machine/service.h"

#define MARKS(space) (4 * (space)->count) /* more parts than ranges: few ranges per part */

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

/* The mask of widths that a device takes; bit w: w bytes. A row without widths takes any. */
static uint32_t
width_mask(uint32_t widths)
{
	uint32_t mask = 0;

	for (uint32_t w = 1; w <= 8; w++)
		if (!widths || (!(w & (w - 1)) && widths & w))
			mask |= 1u << w;
	return mask;
}

int
bus_add(struct bus *bus, const struct bus_range *range, const char *where)
{
	struct bus_space *space = space_of(bus, range->row->space);
	uint64_t limit = range->row->space == MINIVMM_PIO ? BUS_PORTS : UINT64_MAX, end;

	if (bus->sealed)
		return fail(STATUS_BUG, "%s: a range cannot be added after the machine has started",
			    range->device->name);
	if (!range->length || __builtin_add_overflow(range->base, range->length, &end) ||
	    end > limit)
		return fail(STATUS_USAGE,
			    "%s: device %s: 0x%llx %s from 0x%llx do not fit; the last is 0x%llx",
			    where, range->device->name, (unsigned long long)range->length,
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
		return fail(STATUS_USAGE, "%s: device %s: more than %d port ranges", where,
			    range->device->name, UINT16_MAX);
	if (space->count == space->capacity) {
		uint32_t capacity = space->capacity ? 2 * space->capacity : 16;
		struct bus_range *ranges = aligned_alloc(64, capacity * sizeof(*ranges));

		if (!ranges)
			return fail_memory("the bus");
		if (space->count)
			memcpy(ranges, space->ranges, space->count * sizeof(*ranges));
		free(space->ranges);
		space->ranges = ranges;
		space->capacity = capacity;
	}
	space->ranges[space->count] = *range;
	space->ranges[space->count].read = range->row->read;
	space->ranges[space->count].write = range->row->write;
	space->ranges[space->count].widths = width_mask(range->row->widths);
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
 * Divides the addresses from the first base to the last into equal parts. A look-up searches only
 * the ranges that start in one part.
 */
static int
index_space(struct bus_space *space)
{
	uint32_t count = space->count, range = 0;

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
	space->first = space->bases[0];
	space->parts = MARKS(space);
	for (uint64_t i = 0; i <= space->parts; i++) {
		while (range + 1 < count &&
		       (space->bases[range + 1] - space->bases[0] - 1) >> space->shift < i)
			range++;
		space->marks[i] = range;
	}
	return 0;
}

const struct bus_range *
bus_next(const struct bus *bus, uint32_t space, const struct minivmm_device *device,
	 const struct bus_range *after)
{
	const struct bus_space *s = space == MINIVMM_PIO ? &bus->pio : &bus->mmio;
	const struct bus_range *end = s->ranges + s->count;

	for (const struct bus_range *r = after ? after + 1 : s->ranges; r < end; r++)
		if (r->device == device)
			return r;
	return NULL;
}

/* Sorts the ranges of a space. */
static int
sort_space(struct bus_space *space)
{
	if (!space->count)
		return 0;
	qsort(space->ranges, space->count, sizeof(struct bus_range), by_base);
	space->gates = calloc(space->count, sizeof(*space->gates));
	for (size_t i = 0; space->gates && i < space->count; i++)
		space->gates[i] = space->ranges[i].gate;
	return space->gates ? 0 : -1;
}

/* 65536 ports are few enough for a table. Pages of it that no range touches stay unallocated. */
int
bus_seal(struct bus *bus)
{
	bus->pio.ports = calloc(BUS_PORTS, sizeof(uint16_t));
	if (sort_space(&bus->pio) || sort_space(&bus->mmio) || !bus->pio.ports ||
	    index_space(&bus->mmio))
		return fail_memory("the bus");
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
	free(bus->pio.gates);
	free(bus->pio.ports);
	free(bus->mmio.ranges);
	free(bus->mmio.gates);
	free(bus->mmio.bases);
	free(bus->mmio.marks);
	*bus = (struct bus){ 0 };
}

/* The widest access of at most width bytes that the range takes; 0: none. */
static uint32_t
widest_fit(const struct bus_range *range, uint32_t width)
{
	while (width && !(range->widths >> width & 1))
		width--;
	return width;
}

/* Waits for the value of an access that its handler has deferred. False: it was cancelled, or it
 * was not deferred. */
static bool
wait_deferred(struct bus_range *range, const struct minivmm_access *access, bool write,
	      uint64_t *value)
{
	struct deferrals *deferrals = ((struct service_host *)range->device)->deferrals;
	bool completed;

	/* For the watchdog, and for a pause that is refused. */
	bus_enter(&bus_current, range->device, write ? "deferred write" : "deferred read",
		  access->offset);
	completed = deferrals_wait(deferrals, access->vcpu, value);
	bus_leave(&bus_current);
	return completed;
}

void
bus_settle(struct bus_range *range, const struct minivmm_access *access, bool write, int result,
	   uint64_t *value)
{
	struct deferrals *deferrals = ((struct service_host *)range->device)->deferrals;

	if (result == MINIVMM_PENDING && deferrals &&
	    deferrals_has(deferrals, access->vcpu, range->device)) {
		if (wait_deferred(range, access, write, value))
			return;
		result = -1;
	}
	if (result != -1)
		service_refuse_result(range->device, write ? "write" : "read", result);
	if (write || range->read)
		atomic_fetch_add_explicit(&range->gate->failures, 1, memory_order_relaxed);
	if (!write)
		*value = UINT64_MAX;
}

/* Whether this address is to be logged: it is new, and fewer than BUS_UNCLAIMED_LOGGED have been.
 */
static bool
first_unclaimed(struct bus *bus, uint32_t space, uint64_t address)
{
	const uint64_t key = address << 2 | (uint64_t)(space == MINIVMM_PIO) << 1 | 1;

	for (size_t i = 0; i < BUS_UNCLAIMED_LOGGED; i++) {
		uint64_t seen = 0;

		if (atomic_compare_exchange_strong(&bus->unclaimed_logged[i], &seen, key))
			return true;
		if (seen == key)
			return false;
	}
	return false;
}

static void
unclaimed(struct bus *bus, uint32_t space, uint64_t address, bool write, uint32_t width)
{
	const char *name = space == MINIVMM_PIO ? layout_pc_port(address) : NULL;
	const struct layout_chip *chip = layout_chip_at(space, address, width);

	atomic_fetch_add_explicit(&bus->unclaimed, 1, memory_order_relaxed);
	if (name && !log_enabled(MINIVMM_DEBUG))
		return; /* and leaves the addresses to log to unusual ones */
	if (first_unclaimed(bus, space, address))
		log_line(name ? MINIVMM_DEBUG : MINIVMM_WARNING, NULL,
			 "unclaimed %u-byte %s at %s 0x%llx%s%s%s", width, write ? "write" : "read",
			 space == MINIVMM_PIO ? "port" : "address", (unsigned long long)address,
			 chip || name ? ": " : "",
			 chip   ? chip->name
			 : name ? name
				: "",
			 chip ? "; set [vm] irqchip = on" : "");
}

struct bus_range *
bus_access(struct bus *bus, uint32_t space, uint64_t address, bool write, void *data,
	   uint32_t width, uint32_t vcpu)
{
	struct bus_range *range = bus_find(bus, space, address, width);
	struct minivmm_access access;
	uint32_t done = 0;
	int result;

	if (!range) {
		if (!write)
			memset(data, 0xff, width);
		unclaimed(bus, space, address, write, width);
		return NULL;
	}
	access = (struct minivmm_access){
		.address = address,
		.offset = address - range->base,
		.range = range->index,
		.vcpu = vcpu,
		.size = sizeof(access),
	};
	do {
		uint64_t value = 0;

		access.width = widest_fit(range, width - done);
		if (!access.width) { /* the device takes only wider ones */
			if (!write)
				memset((uint8_t *)data + done, 0xff, width - done);
			atomic_fetch_add_explicit(&range->gate->failures, 1, memory_order_relaxed);
			break;
		}
		if (write)
			memcpy(&value, (uint8_t *)data + done, access.width);
		result = bus_call(range, &access, write, &value, &bus_current);
		if (result)
			bus_settle(range, &access, write, result, &value);
		if (!write)
			memcpy((uint8_t *)data + done, &value, access.width);
		done += access.width;
		access.offset += access.width;
		access.address += access.width;
	} while (done < width);
	return range;
}
