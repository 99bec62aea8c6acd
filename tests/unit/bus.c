/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus compared with a naive model: overlaps, lookup, widths, splitting, unclaimed accesses. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "machine/bus.h"
#include "machine/layout.h"

#include <cmocka.h>

#include "said.h"
#include "seed.h"

#define RANGES 10000
#define PROBES 20000

static struct minivmm_device devices[] = { { .name = "first" }, { .name = "second" } };

static int
nothing(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	return 0;
}

static const struct minivmm_range any_pio = { .space = MINIVMM_PIO, .read = nothing };
static const struct minivmm_range any_mmio = { .space = MINIVMM_MMIO, .read = nothing };

static struct bus_range
range_of(const struct minivmm_range *row, uint64_t base, uint64_t length)
{
	static struct bus_gate gate;

	return (struct bus_range){
		.base = base, .length = length, .device = &devices[0], .row = row, .gate = &gate
	};
}

/* Addresses that often collide, and the limits of both spaces. */
static struct bus_range
random_range(uint64_t *seed)
{
	switch (random_below(seed, 4)) {
	case 0:
		return range_of(&any_pio, random_below(seed, 0x10010), random_below(seed, 12));
	case 1:
		return range_of(&any_mmio, UINT64_MAX - random_below(seed, 4096),
				random_below(seed, 64));
	case 2:
		return range_of(&any_mmio, random_below(seed, 1 << 20), random_below(seed, 256));
	default:
		return range_of(&any_mmio, random_below(seed, 1 << 16) << 16,
				random_below(seed, 1 << 17));
	}
}

/* Whether the address is in the range, in arithmetic that cannot overflow. */
static bool
holds(const struct bus_range *range, unsigned __int128 address)
{
	return address >= range->base && address < (unsigned __int128)range->base + range->length;
}

static bool
clash(const struct bus_range *a, const struct bus_range *b)
{
	return a->row->space == b->row->space && (holds(a, b->base) || holds(b, a->base));
}

static bool
expect_added(const struct bus_range *ranges, size_t count, const struct bus_range *range)
{
	unsigned __int128 end = (unsigned __int128)range->base + range->length;

	if (!range->length || end > (range->row->space == MINIVMM_PIO ? 0x10000 : UINT64_MAX))
		return false;
	for (size_t i = 0; i < count; i++)
		if (clash(&ranges[i], range))
			return false;
	return true;
}

static const struct bus_range *
expect_found(const struct bus_range *ranges, size_t count, uint32_t space, uint64_t address,
	     uint32_t width)
{
	for (size_t i = 0; i < count; i++)
		if (ranges[i].row->space == space && holds(&ranges[i], address) &&
		    holds(&ranges[i], (unsigned __int128)address + width - 1))
			return &ranges[i];
	return NULL;
}

static void
random_ranges(void **state)
{
	struct bus_range *kept = calloc(RANGES, sizeof(*kept));
	uint64_t seed = random_seed();
	struct said *said = malloc(sizeof(*said));
	struct bus bus = { 0 };
	size_t count = 0, refused = 0, missed = 0;

	assert_true(kept && said);
	said_begin(said);
	for (size_t i = 0; i < RANGES; i++) {
		struct bus_range range = random_range(&seed);
		bool added = !bus_add(&bus, &range, "x.ini:1");

		assert_int_equal(added, expect_added(kept, count, &range));
		if (added)
			kept[count++] = range;
		else
			refused++;
	}
	said_end(said);
	assert_true(count > RANGES / 10 && refused > RANGES / 10);
	assert_int_equal(bus_seal(&bus), 0);
	for (size_t i = 0; i < PROBES; i++) {
		const struct bus_range *near = &kept[random_below(&seed, count)], *expected;
		uint64_t address = near->base - 9 + random_below(&seed, near->length + 18);
		uint32_t width = 1 + (uint32_t)random_below(&seed, 8);
		struct bus_range *found;
		uint64_t offset;

		if (near->row->space == MINIVMM_PIO)
			address &= 0xffff;
		expected = expect_found(kept, count, near->row->space, address, width);
		found = bus_find(&bus, near->row->space, address, width, &offset);
		assert_int_equal(!found, !expected);
		missed += !found;
		if (found) {
			assert_int_equal(found->base, expected->base);
			assert_int_equal(offset, address - found->base);
		}
	}
	assert_true(missed > PROBES / 10 && missed < PROBES);
	bus_free(&bus);
	free(kept);
	free(said);
}

static void
overlap_is_named(void **state)
{
	struct bus_range a = range_of(&any_pio, 0x3f8, 8), b = range_of(&any_pio, 0x3ff, 2);
	struct bus_range same = range_of(&any_mmio, 0x3f8, 8);
	struct bus bus = { 0 };
	struct said said;

	b.device = &devices[1];
	assert_int_equal(bus_add(&bus, &a, "x.ini:7"), 0);
	assert_int_equal(bus_add(&bus, &same, "x.ini:8"), 0); /* another space */
	said_begin(&said);
	assert_int_equal(bus_add(&bus, &b, "x.ini:9"), -STATUS_USAGE);
	SAID(said_end(&said), "x.ini:9: ", "first and second", "0x3ff to 0x3ff");
	b.base = 0x400;
	assert_int_equal(bus_add(&bus, &b, "x.ini:9"), 0);
	bus_free(&bus);
}

static void
must_fit(void **state)
{
	static const struct {
		const struct minivmm_range *row;
		uint64_t base, length;
		bool fits;
	} cases[] = {
		{ &any_pio, 0xfff8, 8, true },       { &any_pio, 0xfff8, 9, false },
		{ &any_pio, 0x10000, 1, false },     { &any_pio, 0, 0, false },
		{ &any_mmio, 0, 0, false },          { &any_mmio, UINT64_MAX, 2, false },
		{ &any_mmio, 1, UINT64_MAX, false }, { &any_mmio, UINT64_MAX - 1, 1, true },
	};
	struct said said;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct bus_range range = range_of(cases[i].row, cases[i].base, cases[i].length);
		struct bus bus = { 0 };
		const char *text;

		said_begin(&said);
		assert_int_equal(bus_add(&bus, &range, "x.ini:3"),
				 cases[i].fits ? 0 : -STATUS_USAGE);
		text = said_end(&said);
		if (cases[i].fits)
			assert_string_equal(text, "");
		else
			SAID(text, "x.ini:3: device first: ", "do not fit");
		bus_free(&bus);
	}
}

static void
sealed(void **state)
{
	struct bus_range range = range_of(&any_pio, 0, 1);
	struct bus bus = { 0 };
	struct said said;
	uint64_t offset;

	assert_int_equal(bus_seal(&bus), 0);
	said_begin(&said);
	assert_int_equal(bus_add(&bus, &range, "x.ini:3"), -STATUS_BUG);
	SAID(said_end(&said), "first");
	assert_null(bus_find(&bus, MINIVMM_PIO, 0, 1, &offset));
	assert_null(bus_find(&bus, MINIVMM_MMIO, 0, 1, &offset));
	bus_free(&bus);
}

#define BARS 24u
#define FIXED 8u

/* The range of an address among those that have a place: see bus_place. */
static const struct bus_range *
expect_moved(const struct bus_range *ranges, uint32_t space, uint64_t address)
{
	const struct bus_range *found = NULL;

	for (uint32_t i = 0; i < BARS + FIXED; i++) {
		const struct bus_range *r = &ranges[i];
		bool better = !found || (space == MINIVMM_PIO ? i < FIXED || found->index >= FIXED
							      : r->base > found->base ||
								    (r->base == found->base &&
								     r->length > found->length));

		if (r->base == BUS_UNPLACED || r->row->space != space)
			continue;
		if (space == MINIVMM_PIO ? holds(r, address) && better
					 : r->base <= address && better)
			found = r;
	}
	return found && holds(found, address) ? found : NULL;
}

/* Ranges that are placed, moved, laid over others and removed, compared with a naive model. */
static void
moving_ranges(void **state)
{
	static const struct minivmm_range *const rows[] = { &any_pio, &any_mmio };
	uint64_t seed = random_seed();

	for (uint32_t space = MINIVMM_PIO; space <= MINIVMM_MMIO; space++) {
		struct bus_range model[BARS + FIXED];
		struct bus bus = { 0 };
		struct bus_space *s = space == MINIVMM_PIO ? &bus.pio : &bus.mmio;

		for (uint32_t i = 0; i < BARS + FIXED; i++) {
			uint64_t length = 1ull << random_below(&seed, 7);

			model[i] = range_of(rows[space - 1],
					    i < FIXED ? 0x1000 + 256 * i : BUS_UNPLACED, length);
			model[i].index = i;
			assert_int_equal(i < FIXED ? bus_add(&bus, &model[i], "x.ini:1")
						   : bus_add_unplaced(&bus, &model[i], "x.ini:1"),
					 0);
		}
		assert_int_equal(bus_seal(&bus), 0);
		for (uint32_t n = 0; n < 3000; n++) {
			uint32_t bar = (uint32_t)(FIXED + random_below(&seed, BARS));
			uint64_t address = random_below(&seed, 0x2000) & ~0x3full, offset = 0;
			const struct bus_range *expected, *found;

			if (!random_below(&seed, 4))
				address = BUS_UNPLACED;
			for (uint32_t i = 0; i < s->count; i++)
				if (s->ranges[i].index == bar)
					bus_place(&bus, &s->ranges[i], address);
			model[bar].base = address;
			for (uint32_t probe = 0; probe < 20; probe++) {
				address = random_below(&seed, 0x2100);
				expected = expect_moved(model, space, address);
				found = bus_find(&bus, space, address, 1, &offset);
				/* Of BARs that overlap or begin together, any one. */
				if (!found || !expected || found->index != expected->index)
					assert_true(found ? expected &&
								found->base ==
								    model[found->index].base &&
								holds(found, address)
							  : !expected);
				else
					assert_int_equal(offset, address - expected->base);
			}
		}
		bus_free(&bus);
	}
}

struct race {
	struct bus bus;
	atomic_bool ends;
	atomic_ulong found[2];
	uint32_t space;
};

/* Looks up both places of the range that moves, and one that does not. */
static void *
look_up(void *argument)
{
	struct race *race = argument;

	while (!race->ends)
		for (uint64_t place = 0; place < 2; place++) {
			uint64_t offset = 0;
			struct bus_range *range =
			    bus_find(&race->bus, race->space, 0x4000 * (place + 1) + 5, 1, &offset);

			if (range && (range->index != 1 || offset != 5))
				return "another range";
			race->found[place] += range != NULL;
			range = bus_find(&race->bus, race->space, 0x107, 1, &offset);
			if (!range || range->index != 0 || offset != 7)
				return "not the range that stays";
		}
	return NULL;
}

static void
look_ups_while_ranges_move(void **state)
{
	static const struct minivmm_range *const rows[] = { &any_pio, &any_mmio };

	for (uint32_t space = MINIVMM_PIO; space <= MINIVMM_MMIO; space++) {
		struct race *race = aligned_alloc(64, (sizeof(*race) + 63) & ~63ul);
		struct bus_range stays = range_of(rows[space - 1], 0x100, 16),
				 moves = range_of(rows[space - 1], BUS_UNPLACED, 16);
		struct bus_range *range;
		pthread_t threads[2];
		void *wrong;

		memset(race, 0, sizeof(*race));
		race->space = space;
		moves.index = 1;
		assert_int_equal(bus_add_unplaced(&race->bus, &moves, ""), 0);
		assert_int_equal(bus_add(&race->bus, &stays, ""), 0);
		assert_int_equal(bus_seal(&race->bus), 0);
		range = &(space == MINIVMM_PIO ? &race->bus.pio : &race->bus.mmio)->ranges[1];
		for (int t = 0; t < 2; t++)
			assert_int_equal(pthread_create(&threads[t], NULL, look_up, race), 0);
		for (uint64_t n = 0; n < 20000 || !race->found[0] || !race->found[1]; n++)
			bus_place(&race->bus, range, 0x4000 * (n % 2 + 1));
		race->ends = true;
		for (int t = 0; t < 2; t++) {
			pthread_join(threads[t], &wrong);
			assert_null(wrong);
		}
		bus_free(&race->bus);
		free(race);
	}
}

/* A device that stores bytes and records accesses. */
struct memory_device {
	struct minivmm_device public; /* first */
	uint8_t bytes[32];
	uint32_t widths[16];
	uint64_t offsets[16];
	size_t calls;
	bool fails;
};

static void
take_note(struct memory_device *m, const struct minivmm_access *a)
{
	assert_true(m->calls < 16);
	assert_int_equal(a->address, 0x9000 + a->offset);
	assert_int_equal(a->range, 3);
	assert_int_equal(a->vcpu, 5);
	m->widths[m->calls] = a->width;
	m->offsets[m->calls++] = a->offset;
}

static int
memory_device_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct memory_device *m = (struct memory_device *)dev;

	assert_int_equal(*value, 0);
	take_note(m, a);
	memcpy(value, m->bytes + a->offset, a->width);
	return m->fails ? -1 : 0;
}

static int
memory_device_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct memory_device *m = (struct memory_device *)dev;

	take_note(m, a);
	assert_true(a->width == 8 || value >> (8 * a->width) == 0);
	if (!m->fails)
		memcpy(m->bytes + a->offset, &value, a->width);
	return m->fails ? -1 : 0;
}

/* A bus with only m, at 0x9000. */
static void
one_device(struct bus *bus, struct memory_device *m, const struct minivmm_range *row,
	   struct bus_gate *gate)
{
	struct bus_range range = {
		.base = 0x9000,
		.length = sizeof(m->bytes),
		.device = &m->public,
		.row = row,
		.index = 3,
		.gate = gate,
	};

	*bus = (struct bus){ 0 };
	*m = (struct memory_device){ .public.name = "memory0" };
	for (size_t i = 0; i < sizeof(m->bytes); i++)
		m->bytes[i] = (uint8_t)(0x40 + i);
	assert_int_equal(bus_add(bus, &range, "x.ini:1"), 0);
	assert_int_equal(bus_seal(bus), 0);
}

/* The naive model: the widest allowed piece first. Returns the bytes that no piece covers. */
static uint32_t
expect_pieces(uint32_t widths, uint32_t width, uint32_t *pieces, size_t *count)
{
	*count = 0;
	if (!widths) {
		pieces[(*count)++] = width;
		return 0;
	}
	while (width) {
		uint32_t best = 0;

		for (uint32_t w = 1; w <= 8; w *= 2)
			if (w <= width && (widths & w))
				best = w;
		if (!best)
			break;
		pieces[(*count)++] = best;
		width -= best;
	}
	return width;
}

static void
one_access(uint32_t widths, uint64_t offset, uint32_t width, bool write)
{
	const struct minivmm_range row = { .space = MINIVMM_MMIO,
					   .widths = widths,
					   .read = memory_device_read,
					   .write = memory_device_write };
	struct bus_gate gate = { .failures = 0 };
	struct memory_device m;
	uint8_t data[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 0x77 }, before[32];
	uint32_t pieces[8], left, done = 0;
	size_t count;
	struct bus bus;

	one_device(&bus, &m, &row, &gate);
	memcpy(before, m.bytes, sizeof(before));
	left = expect_pieces(widths, width, pieces, &count);
	assert_non_null(bus_access(&bus, MINIVMM_MMIO, 0x9000 + offset, write, data, width, 5));
	assert_int_equal(m.calls, count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(m.widths[i], pieces[i]);
		assert_int_equal(m.offsets[i], offset + done);
		done += pieces[i];
	}
	for (uint32_t i = 0; i < width; i++)
		if (write) {
			uint8_t expected = i < width - left ? (uint8_t)(i + 1) : before[offset + i];

			assert_int_equal(m.bytes[offset + i], expected);
		} else
			assert_int_equal(data[i], i < width - left ? before[offset + i] : 0xff);
	assert_int_equal(data[8], 0x77);
	assert_int_equal(gate.failures, left ? 1 : 0);
	assert_int_equal(bus.unclaimed, 0);
	bus_free(&bus);
}

static void
every_width(void **state)
{
	for (uint32_t widths = 0; widths < 16; widths++)
		for (uint32_t width = 1; width <= 8; width++)
			for (uint64_t offset = 0; offset + width <= 32; offset++) {
				one_access(widths, offset, width, false);
				one_access(widths, offset, width, true);
			}
}

/* An access across the end of a range is unclaimed, even if the next range begins there. */
static void
straddling(void **state)
{
	const struct minivmm_range row = { .space = MINIVMM_MMIO,
					   .read = memory_device_read,
					   .write = memory_device_write };
	struct memory_device m = { .public.name = "memory0" };
	struct bus_range first = range_of(&row, 0x9000, 16), next = range_of(&row, 0x9010, 16);
	uint64_t unclaimed = 0;
	struct bus bus = { 0 };
	struct said said;

	first.device = next.device = &m.public;
	assert_int_equal(bus_add(&bus, &next, ""), 0);
	assert_int_equal(bus_add(&bus, &first, ""), 0);
	assert_int_equal(bus_seal(&bus), 0);
	said_begin(&said);
	for (uint32_t width = 2; width <= 8; width++)
		for (uint64_t address = 0x8fff; address <= 0x901f; address += 0x10)
			for (int write = 0; write < 2; write++) {
				uint8_t data[8] = { 0 };

				assert_null(
				    bus_access(&bus, MINIVMM_MMIO, address, write, data, width, 0));
				for (uint32_t i = 0; i < width; i++)
					assert_int_equal(data[i], write ? 0 : 0xff);
				unclaimed++;
			}
	said_end(&said);
	assert_int_equal(m.calls, 0);
	assert_int_equal(bus.unclaimed, unclaimed);
	bus_free(&bus);
}

static unsigned
lines_of(const char *text)
{
	unsigned lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

static void
the_first_few_unclaimed_addresses_are_logged(void **state)
{
	struct bus bus = { 0 };
	uint32_t data = 0;
	uint64_t known;
	struct said said;
	const char *text;

	assert_int_equal(bus_seal(&bus), 0);
	said_begin(&said);
	for (int i = 0; i < 1000; i++)
		bus_access(&bus, MINIVMM_PIO, 0x1064, i % 2, &data, 2, 0);
	bus_access(&bus, MINIVMM_MMIO, 0x64, false, &data, 4, 0);
	text = said_end(&said);
	assert_non_null(strstr(text, "unclaimed 2-byte read at port 0x1064"));
	assert_non_null(strstr(text, "unclaimed 4-byte read at address 0x64"));
	assert_int_equal(lines_of(text), 2);
	assert_int_equal(data, 0xffffffff);
	said_begin(&said);
	for (uint64_t i = 0; i < 1000; i++) /* what a PC has: counted, but not logged */
		if (layout_pc_port(i))
			bus_access(&bus, MINIVMM_PIO, i, false, &data, 1, 0);
	assert_int_equal(lines_of(said_end(&said)), 0);
	known = bus.unclaimed - 1001;
	assert_in_range(known, 100, 999);
	said_begin(&said);
	for (uint64_t i = 0; i < 1000; i++)
		bus_access(&bus, MINIVMM_PIO, 0x2000 + i, false, &data, 2, 0);
	assert_int_equal(lines_of(said_end(&said)), BUS_UNCLAIMED_LOGGED - 2);
	assert_int_equal(bus.unclaimed, 2001 + known);
	bus_free(&bus);
}

static void
failures_and_counts(void **state)
{
	const struct minivmm_range row = { .space = MINIVMM_MMIO,
					   .widths = MINIVMM_W32,
					   .read = memory_device_read,
					   .write = memory_device_write };
	const struct minivmm_range mute = { .space = MINIVMM_MMIO };
	struct bus_gate gate = { .failures = 0 };
	uint64_t data = 0;
	struct memory_device m;
	struct bus bus;

	one_device(&bus, &m, &row, &gate);
	m.fails = true;
	bus_access(&bus, MINIVMM_MMIO, 0x9004, false, &data, 4, 5);
	assert_int_equal(data, 0xffffffff);
	bus_access(&bus, MINIVMM_MMIO, 0x9004, true, &data, 8, 5);
	assert_int_equal(gate.failures, 3); /* each piece */
	m.fails = false;
	bus_access(&bus, MINIVMM_MMIO, 0x9004, false, &data, 4, 5);
	assert_int_equal(data, 0x47464544);
	assert_int_equal(gate.failures, 3);
	assert_int_equal(gate.reads, 2);
	assert_int_equal(gate.writes, 2);
	assert_null(bus_current.callback);
	bus_free(&bus);

	/* Without a handler, a read is no failure. */
	one_device(&bus, &m, &mute, &gate);
	data = 0;
	assert_non_null(bus_access(&bus, MINIVMM_MMIO, 0x9000, false, &data, 2, 5));
	assert_int_equal(data, 0xffff);
	bus_access(&bus, MINIVMM_MMIO, 0x9000, true, &data, 2, 5);
	assert_int_equal(gate.failures, 3);
	bus_free(&bus);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_ranges),
		cmocka_unit_test(overlap_is_named),
		cmocka_unit_test(must_fit),
		cmocka_unit_test(sealed),
		cmocka_unit_test(moving_ranges),
		cmocka_unit_test(look_ups_while_ranges_move),
		cmocka_unit_test(every_width),
		cmocka_unit_test(straddling),
		cmocka_unit_test(the_first_few_unclaimed_addresses_are_logged),
		cmocka_unit_test(failures_and_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
