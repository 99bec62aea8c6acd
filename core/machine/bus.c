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
#define STORE(member, value) __atomic_store_n(&(member), value, __ATOMIC_RELEASE)

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

/* Checks that a range fits into its space and overlaps no other. 0 or a negative status. */
static int
check_place(struct bus_space *space, const struct bus_range *range, const char *where)
{
	uint64_t limit = range->row->space == MINIVMM_PIO ? BUS_PORTS : UINT64_MAX, end;

	if (!range->length || __builtin_add_overflow(range->base, range->length, &end) ||
	    end > limit)
		return fail(STATUS_USAGE,
			    "%s: device %s: 0x%llx %s from 0x%llx do not fit; the last is 0x%llx",
			    where, range->device->name, (unsigned long long)range->length,
			    space_name(range->row->space), (unsigned long long)range->base,
			    (unsigned long long)(limit - 1));
	for (size_t i = 0; i < space->count; i++) {
		const struct bus_range *other = &space->ranges[i];

		if (other->base != BUS_UNPLACED && range->base < other->base + other->length &&
		    other->base < end)
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
	return 0;
}

/* Appends a copy of a range. */
static int
append(struct bus *bus, const struct bus_range *range, uint64_t base, const char *where)
{
	struct bus_space *space = space_of(bus, range->row->space);

	if (bus->sealed)
		return fail(STATUS_BUG, "%s: a range cannot be added after the machine has started",
			    range->device->name);
	if (!range->length)
		return fail(STATUS_USAGE,
			    "%s: device %s: 0x0 %s do not fit; a range has one at least", where,
			    range->device->name, space_name(range->row->space));
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
	space->ranges[space->count].base = base;
	space->ranges[space->count].read = range->row->read;
	space->ranges[space->count].write = range->row->write;
	space->ranges[space->count].widths = width_mask(range->row->widths);
	space->count++;
	return 0;
}

int
bus_add(struct bus *bus, const struct bus_range *range, const char *where)
{
	int r = bus->sealed ? 0 : check_place(space_of(bus, range->row->space), range, where);

	return r ? r : append(bus, range, range->base, where);
}

int
bus_add_unplaced(struct bus *bus, const struct bus_range *range, const char *where)
{
	return append(bus, range, BUS_UNPLACED, where);
}

static int
by_base(const void *a, const void *b)
{
	const struct bus_range *x = a, *y = b;

	return x->base < y->base ? -1 : x->base > y->base;
}

static int
by_place(const void *a, const void *b)
{
	const struct bus_range *x = *(struct bus_range *const *)a,
			       *y = *(struct bus_range *const *)b;
	int order = by_base(x, y);

	/* Of those that begin together, the look-up finds the longest. */
	return order ? order : x->length < y->length ? -1 : x->length > y->length;
}

/*
 * Divides the addresses from the first base to the last into equal parts. A look-up searches only
 * the ranges that start in one part.
 */
static void
mark_parts(struct bus_space *space)
{
	uint64_t first = space->entries[0].base, last = space->entries[space->placed - 1].base;
	uint32_t entry = 0, shift = 0;

	while ((last - first) >> shift >= space->parts)
		shift++;
	STORE(space->first, first);
	STORE(space->shift, shift);
	for (uint64_t i = 0; i <= space->parts; i++) {
		while (entry + 1 < space->placed &&
		       (space->entries[entry + 1].base == first ||
			(space->entries[entry + 1].base - first - 1) >> shift < i))
			entry++;
		STORE(space->marks[i], entry);
	}
}

/* Makes the index of addresses from the bases of the ranges. */
static void
index_mmio(struct bus_space *space)
{
	uint32_t placed = 0;

	for (uint32_t i = 0; i < space->count; i++)
		if (space->ranges[i].base != BUS_UNPLACED)
			space->sorting[placed++] = &space->ranges[i];
	if (placed)
		qsort(space->sorting, placed, sizeof(*space->sorting), by_place);
	STORE(space->placed, placed);
	for (uint32_t i = 0; i < placed; i++) {
		STORE(space->entries[i].base, space->sorting[i]->base);
		STORE(space->entries[i].range, space->sorting[i]);
		STORE(space->entries[i].gate, space->sorting[i]->gate);
	}
	if (placed)
		mark_parts(space);
}

/* Enters a range into the table of ports; value 0 removes it. */
static void
index_ports(struct bus_space *space, const struct bus_range *range, uint16_t value)
{
	if (range->base == BUS_UNPLACED)
		return;
	for (uint64_t port = range->base; port < range->base + range->length && port < BUS_PORTS;
	     port++)
		STORE(space->ports[port], value);
}

/* Those that were placed at the seal come last: they win. */
static void
index_pio(struct bus_space *space)
{
	for (uint32_t i = space->fixed; i < space->count; i++)
		index_ports(space, &space->ranges[i], (uint16_t)(i + 1));
	for (uint32_t i = 0; i < space->fixed; i++)
		index_ports(space, &space->ranges[i], (uint16_t)(i + 1));
}

static void
update_index(struct bus *bus, struct bus_space *space)
{
	if (!space->stale)
		return;
	space->stale = false;
	if (space == &bus->pio)
		index_pio(space);
	else
		index_mmio(space);
}

void
bus_place(struct bus *bus, struct bus_range *range, uint64_t base)
{
	struct bus_space *space = space_of(bus, range->row->space);

	lock_take(&bus->moving);
	__atomic_fetch_add(&space->sequence, 1, __ATOMIC_SEQ_CST);
	if (space == &bus->pio)
		index_ports(space, range, 0);
	STORE(range->base, base);
	space->stale = true;
	if (!bus->many)
		update_index(bus, space);
	__atomic_fetch_add(&space->sequence, 1, __ATOMIC_SEQ_CST);
	lock_release(&bus->moving);
}

void
bus_place_many(struct bus *bus, bool begin)
{
	bus->many = begin;
	if (begin)
		return;
	update_index(bus, &bus->pio);
	update_index(bus, &bus->mmio);
}

bool
bus_taken(const struct bus *bus, uint32_t space, uint64_t base, uint64_t length, uint64_t *end)
{
	const struct bus_space *s = space == MINIVMM_PIO ? &bus->pio : &bus->mmio;

	for (uint32_t i = 0; i < s->fixed; i++) {
		const struct bus_range *range = &s->ranges[i];

		*end = range->base + range->length;
		if (range->base < base + length && base < *end)
			return true;
	}
	return false;
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

/* Sorts the ranges of a space, which do not move in memory from then on. */
static void
sort_space(struct bus_space *space)
{
	if (!space->count)
		return;
	qsort(space->ranges, space->count, sizeof(struct bus_range), by_base);
	while (space->fixed < space->count && space->ranges[space->fixed].base != BUS_UNPLACED)
		space->fixed++;
}

static int
seal_mmio(struct bus_space *space)
{
	if (!space->count)
		return 0;
	space->parts = MARKS(space);
	space->entries = aligned_alloc(64, (space->count + 1) / 2 * 64);
	space->sorting = calloc(space->count, sizeof(struct bus_range *));
	space->marks = calloc(space->parts + 1, sizeof(*space->marks));
	if (!space->entries || !space->sorting || !space->marks)
		return -1;
	memset(space->entries, 0, space->count * sizeof(*space->entries));
	index_mmio(space);
	return 0;
}

/* 65536 ports are few enough for a table. Pages of it that no range touches stay unallocated. */
int
bus_seal(struct bus *bus)
{
	bus->pio.ports = calloc(BUS_PORTS, sizeof(uint16_t));
	sort_space(&bus->pio);
	sort_space(&bus->mmio);
	if (!bus->pio.ports || seal_mmio(&bus->mmio))
		return fail_memory("the bus");
	index_pio(&bus->pio);
	bus->sealed = true;
	return 0;
}

void
bus_free(struct bus *bus)
{
	free(bus->pio.ranges);
	free(bus->pio.ports);
	free(bus->mmio.ranges);
	free(bus->mmio.entries);
	free(bus->mmio.sorting);
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
	uint64_t offset = 0;
	struct bus_range *range = bus_find(bus, space, address, width, &offset);
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
		.offset = offset,
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
