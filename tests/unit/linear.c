/* SPDX-License-Identifier: BSD-2-Clause */
/* The walk of the page tables in a snapshot: each mode of paging, and tables that lead nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "paging_sample.h"

static void
maps(struct sample *s, const struct snapshot_cpu *cpu, uint64_t linear, gpa_t expected)
{
	gpa_t gpa = ~0ull;
	struct why why;

	assert_int_equal(snapshot_translate(&s->snapshot, cpu, linear, &gpa, &why), 0);
	assert_int_equal(gpa, expected);
}

static void
refuses(struct sample *s, const struct snapshot_cpu *cpu, uint64_t linear, const char *reason)
{
	struct why why;
	gpa_t gpa;

	assert_int_equal(snapshot_translate(&s->snapshot, cpu, linear, &gpa, &why), -1);
	assert_non_null(strstr(why.text, reason));
}

static void
no_paging(void **state)
{
	struct snapshot_cpu cpu = { .cr3 = 0x5000 };

	maps(*state, &cpu, 0x1234, 0x1234);
	maps(*state, &cpu, 0x100001234, 0x1234); /* 32 bits */
}

static void
two_levels(void **state)
{
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1018 };

	put(*state, 1, 0x300, 4, 0x2007);                /* 0xc0000000: a table */
	put(*state, 1, 0x301, 4, 0x00400083 | 1u << 13); /* 0xc0400000: a page of 4 MiB */
	put(*state, 1, 0x302, 4, 0);
	put(*state, 2, 1, 4, 0x7007);
	put(*state, 2, 2, 4, 0x8006); /* not present */
	maps(*state, &cpu, 0xc0001abc, 0x7abc);
	refuses(*state, &cpu, 0xc0002abc, "do not map it");
	refuses(*state, &cpu, 0xc0800000, "do not map it");
	cpu.cr4 = PSE;
	maps(*state, &cpu, 0xc0412345, 0x100412345); /* bit 13 is bit 32 of the address */
	cpu.cr4 = 0;                                 /* it is a table then */
	refuses(*state, &cpu, 0xc0412345, "where there is no memory");
}

static void
pae(void **state)
{
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1fe0, .cr4 = PAE };

	put(*state, 1, 0xfe0 / 8 + 3, 8, 0x2001); /* 0xc0000000 */
	put(*state, 1, 0xfe0 / 8 + 2, 8, 0x2081); /* bit 7 does not make a page here */
	put(*state, 2, 0, 8, 0x3003);
	put(*state, 2, 1, 8, 0x8000000000200083); /* 2 MiB, not executable */
	put(*state, 3, 5, 8, 0x8000000000009003);
	maps(*state, &cpu, 0xc0005fff, 0x9fff);
	maps(*state, &cpu, 0xc0234567, 0x234567);
	maps(*state, &cpu, 0x80005fff, 0x9fff);
	refuses(*state, &cpu, 0xffffffff, "do not map it");
}

static void
long_mode(void **state)
{
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1000, .cr4 = PAE, .efer = LMA };

	memset(((struct sample *)*state)->memory + 0x1000, 0, 4 * PAGE_SIZE);
	put(*state, 1, 0x1ff, 8, 0x2003);
	put(*state, 2, 0x1fe, 8, 0x3003);
	put(*state, 2, 0x1ff, 8, 0x40000083); /* 1 GiB */
	put(*state, 3, 8, 8, 0x4003);
	put(*state, 3, 9, 8, 0x600083); /* 2 MiB */
	put(*state, 4, 1, 8, 0x5003);
	maps(*state, &cpu, 0xffffffff81001234, 0x5234);
	maps(*state, &cpu, 0xffffffff81212345, 0x612345);
	maps(*state, &cpu, 0xffffffffc0000001, 0x40000001);
	refuses(*state, &cpu, 0x1234, "do not map it");
	/* Five levels: the same tables below another one. */
	cpu.cr4 |= LA57;
	cpu.cr3 = 0x6000;
	memset(((struct sample *)*state)->memory + 0x6000, 0, PAGE_SIZE);
	put(*state, 6, 0x1ff, 8, 0x1003);
	maps(*state, &cpu, 0xffffffff81001234, 0x5234);
	refuses(*state, &cpu, 0x00ffffff81001234, "do not map it");
}

/* Tables that lead to themselves end; those outside of memory are refused. */
static void
hostile(void **state)
{
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1000, .cr4 = PAE, .efer = LMA };

	for (unsigned i = 0; i < 512; i++)
		put(*state, 1, i, 8, 0x1003);
	maps(*state, &cpu, 0xffffffffffffffff, 0x1fff);
	cpu.cr3 = PAGES * PAGE_SIZE;
	refuses(*state, &cpu, 0, "where there is no memory");
	cpu.cr3 = ~0ull;
	refuses(*state, &cpu, ~0ull, "where there is no memory");
	cpu.efer = 0;
	cpu.cr4 = 0;
	cpu.cr3 = (PAGES - 1) * PAGE_SIZE;
	put(*state, PAGES - 1, 0x3ff, 4, 0xfffff003);
	refuses(*state, &cpu, 0xffffffff, "where there is no memory");
}

/* Pages that are neighbours for the vCPU are not so in memory. */
static void
reading(void **state)
{
	struct snapshot_cpu cpu = { .cr0 = PG, .cr3 = 0x1000, .cr4 = PAE, .efer = LMA };
	uint8_t bytes[3 * PAGE_SIZE];
	struct why why;

	memset(((struct sample *)*state)->memory + 0x1000, 0, 4 * PAGE_SIZE);
	for (unsigned page = 1; page < 4; page++)
		put(*state, page, 0, 8, (page + 1) << 12 | 3);
	put(*state, 4, 0, 8, 0x9003);
	put(*state, 4, 1, 8, 0x7003);
	put(*state, 4, 2, 8, 0x800000003);
	assert_int_equal(snapshot_read_linear(&((struct sample *)*state)->snapshot, &cpu, 0x800,
					      bytes, sizeof(bytes), &why),
			 0x1800);
	assert_int_equal(bytes[0x7ff], 9);
	assert_int_equal(bytes[0x800], 7);
	assert_int_equal(bytes[0x17ff], 7);
	assert_non_null(strstr(why.text, "it is 0x800000000 in physical memory"));
}

static void
bits(void **state)
{
	static const struct {
		struct snapshot_cpu cpu;
		unsigned bits;
	} cases[] = {
		{ { .cr0 = 0, .cs_db = 1 }, 16 },
		{ { .cr0 = 1, .cs_db = 0 }, 16 },
		{ { .cr0 = 1, .cs_db = 1 }, 32 },
		{ { .cr0 = 1, .cs_db = 1, .rflags = 1u << 17 }, 16 },
		{ { .cr0 = 1, .cs_db = 1, .efer = LMA }, 32 },
		{ { .cr0 = 1, .cs_l = 1, .efer = LMA }, 64 },
		{ { .cr0 = 1, .cs_l = 1, .cs_db = 1 }, 32 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(snapshot_cpu_bits(&cases[i].cpu), cases[i].bits);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(no_paging, set_up, tear_down),
		cmocka_unit_test_setup_teardown(two_levels, set_up, tear_down),
		cmocka_unit_test_setup_teardown(pae, set_up, tear_down),
		cmocka_unit_test_setup_teardown(long_mode, set_up, tear_down),
		cmocka_unit_test_setup_teardown(hostile, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reading, set_up, tear_down),
		cmocka_unit_test(bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
