/* SPDX-License-Identifier: BSD-2-Clause */
/* All mappings of a vCPU: runs in each mode of paging, the bounds of memory, and hostile tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include "base/log.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "paging_sample.h"
#include "snapshot/mappings.h"

#define LIMIT 100u

/* Finds the mappings and compares them: linear, gpa and size of each; ends with size 0. */
static void
finds(struct sample *s, const struct snapshot_cpu *cpu, const struct mapping *expected)
{
	struct mappings found;
	size_t count = 0;

	assert_int_equal(snapshot_mappings(&s->snapshot, cpu, LIMIT, &found), 0);
	assert_true(found.whole);
	for (; expected[count].size; count++) {
		assert_true(count < found.count);
		assert_int_equal(found.list[count].linear, expected[count].linear);
		assert_int_equal(found.list[count].gpa, expected[count].gpa);
		assert_int_equal(found.list[count].size, expected[count].size);
	}
	assert_int_equal(found.count, count);
	/* Each is what the translation of a single address says. */
	for (size_t i = 0; i < found.count; i++) {
		const struct mapping *m = &found.list[i];
		struct why why;
		gpa_t gpa;

		assert_int_equal(
		    snapshot_translate(&s->snapshot, cpu, m->linear + m->size - 1, &gpa, &why), 0);
		assert_int_equal(gpa, m->gpa + m->size - 1);
	}
	free(found.list);
}

static void
clear(struct sample *s, unsigned page)
{
	memset(s->memory + page * PAGE_SIZE, 0, PAGE_SIZE);
}

static void
two_levels(void **state)
{
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1018, .cr4 = PSE };
	static const struct mapping expected[] = {
		{ 0x1000, 0x7000, 0x2000 },             /* two pages, one run */
		{ 0x3000, 0x7000, 0x1000 },             /* the first of them again */
		{ 0xc0400000, 0x0, PAGES * PAGE_SIZE }, /* 4 MiB, of which 64 KiB exist */
		{ 0, 0, 0 },
	};

	clear(*state, 1);
	clear(*state, 2);
	put(*state, 1, 0, 4, 0x2007);
	put(*state, 1, 0x301, 4, 0x00000083);
	put(*state, 1, 0x302, 4, 0x00400083 | 1u << 13); /* above the memory */
	put(*state, 2, 1, 4, 0x7007);
	put(*state, 2, 2, 4, 0x8007);
	put(*state, 2, 3, 4, 0x7007);
	put(*state, 2, 4, 4, 0x8006); /* not present */
	finds(*state, &cpu, expected);
}

static void
pae(void **state)
{
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1fe0, .cr4 = PAE };
	static const struct mapping expected[] = {
		{ 0xc0005000, 0x9000, 0x1000 },
		{ 0xc0200000, 0x0, PAGES * PAGE_SIZE },
		{ 0, 0, 0 },
	};

	for (unsigned page = 1; page < 4; page++)
		clear(*state, page);
	put(*state, 1, 0xfe0 / 8 + 3, 8, 0x2001);
	put(*state, 2, 0, 8, 0x3003);
	put(*state, 2, 1, 8, 0x8000000000000083);
	put(*state, 3, 5, 8, 0x8000000000009003);
	finds(*state, &cpu, expected);
}

/* The upper half: addresses are sign-extended. Five levels: with one bit more. */
static void
long_mode(void **state)
{
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1000, .cr4 = PAE, .efer = LMA };
	static const struct mapping expected[] = {
		{ 0x0, 0x5000, 0x1000 },
		{ 0xffffffff81001000, 0x5000, 0x1000 },
		{ 0xffffffffc0000000, 0x0, PAGES * PAGE_SIZE },
		{ 0, 0, 0 },
	}, five[] = {
		{ 0xff00000000000000, 0x5000, 0x1000 },
		{ 0xff00ffff81001000, 0x5000, 0x1000 },
		{ 0xff00ffffc0000000, 0x0, PAGES * PAGE_SIZE },
		{ 0, 0, 0 },
	};

	for (unsigned page = 1; page < 9; page++)
		if (page != 5)
			clear(*state, page);
	put(*state, 1, 0, 8, 0x7003);
	put(*state, 7, 0, 8, 0x8003);
	put(*state, 8, 0, 8, 0x4003);
	put(*state, 1, 0x1ff, 8, 0x2003);
	put(*state, 2, 0x1fe, 8, 0x3003);
	put(*state, 2, 0x1ff, 8, 0x83); /* 1 GiB */
	put(*state, 3, 8, 8, 0x4003);
	put(*state, 4, 0, 8, 0x5003);
	put(*state, 4, 1, 8, 0x5003);
	put(*state, 4, 0, 8, 0);
	put(*state, 8, 0, 8, 0x6003);
	put(*state, 6, 0, 8, 0x5003);
	finds(*state, &cpu, expected);
	cpu.cr4 |= LA57;
	cpu.cr3 = 0x9000;
	clear(*state, 9);
	put(*state, 9, 0x100, 8, 0x1003); /* the highest half of 57 bits */
	finds(*state, &cpu, five);
}

/* Runs that are adjacent, but in two regions, which are apart in the file: two mappings. */
static void
two_regions(void **state)
{
	struct sample *s = *state;
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1000, .cr4 = PSE };
	static const struct mapping expected[] = {
		{ 0x0, 0x0, 0x8000 },
		{ 0x8000, 0x8000, 0x8000 },
		{ 0, 0, 0 },
	};

	s->snapshot.regions[0].size = 0x8000;
	s->snapshot.regions[1] =
	    (struct snapshot_region){ .gpa = 0x8000, .size = 0x8000, .offset = 0x8000 };
	s->snapshot.region_count = 2;
	clear(s, 1);
	put(s, 1, 0, 4, 0x83);
	finds(s, &cpu, expected);
}

/* Tables that lead to themselves: the number of visits and of mappings is limited. */
static void
hostile(void **state)
{
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1000, .cr4 = PAE, .efer = LMA };
	struct sample *s = *state;
	struct mappings found;

	for (unsigned i = 0; i < 512; i++)
		put(s, 1, i, 8, 0x1003);
	assert_int_equal(snapshot_mappings(&s->snapshot, &cpu, LIMIT, &found), 0);
	assert_false(found.whole);
	assert_int_equal(found.count, LIMIT);
	free(found.list);
	/* No page is ever reached. */
	for (unsigned i = 0; i < 512; i++) {
		put(s, 1, i, 8, 0x2003);
		put(s, 2, i, 8, 0x3003);
		put(s, 3, i, 8, 0x4003);
		put(s, 4, i, 8, 0x4002);
	}
	assert_int_equal(snapshot_mappings(&s->snapshot, &cpu, LIMIT, &found), 0);
	assert_false(found.whole);
	assert_int_equal(found.count, 0);
	free(found.list);
	cpu.cr3 = ~0ull; /* no table */
	assert_int_equal(snapshot_mappings(&s->snapshot, &cpu, LIMIT, &found), 0);
	assert_true(found.whole);
	assert_int_equal(found.count, 0);
	free(found.list);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_levels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pae, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_regions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hostile, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
