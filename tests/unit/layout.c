/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest address map: valid places of memory, and the hole that memory skips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "machine/layout.h"
#include "minivmm/plugin.h"

#include <cmocka.h>

#define GIB (1ull << 30)

/*
 * Memory that does not fit below 3 GiB continues at 4 GiB if there are interrupt controllers in
 * between.
 */
static void
skips_the_hole(void **state)
{
	static const struct {
		struct layout_range memory;
		bool irqchip, whole;
		uint32_t count;
		struct layout_range pieces[2];
	} cases[] = {
		{ { 0, 3 * GIB }, true, false, 1, { { 0, 3 * GIB } } },
		{ { 0, 3 * GIB + 4096 }, true, false, 2, { { 0, 3 * GIB }, { 4 * GIB, 4096 } } },
		{ { 0, 3 * GIB + 4096 }, true, true, 1, { { 0, 3 * GIB + 4096 } } },
		{ { 0, 0xfec01000 }, true, true, 2, { { 0, 3 * GIB }, { 4 * GIB, 0x3ec01000 } } },
		{ { 0, 0xfec01000 }, false, false, 1, { { 0, 0xfec01000 } } },
		{ { 4 * GIB, 0xfec01000 }, true, false, 1, { { 4 * GIB, 0xfec01000 } } },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct layout_range pieces[2] = { 0 };

		assert_int_equal(
		    layout_memory(cases[i].memory, cases[i].irqchip, cases[i].whole, pieces),
		    cases[i].count);
		assert_memory_equal(pieces, cases[i].pieces, sizeof(pieces));
	}
}

static void
refuses_overlaps(void **state)
{
	static const struct {
		struct layout_range memory;
		bool irqchip, long_mode;
		const char *wrong; /* the beginning of the message; NULL: no error */
	} cases[] = {
		{ { 0, 65536 }, false, false, NULL },
		{ { 0, LAYOUT_IOAPIC }, false, false, NULL },
		{ { LAYOUT_IOAPIC, 4096 }, false, false, "would overlap the interrupt" },
		{ { 0, 5 * GIB }, false, false, "would overlap the interrupt" },
		{ { 0, 5 * GIB }, true, false, NULL },
		{ { 4096, 5 * GIB }, true, false, "would overlap the interrupt" },
		{ { 4 * GIB, 5 * GIB }, false, false, NULL },
		{ { 0, 512 * GIB }, true, true, NULL },
		{ { 0, 3072 * GIB }, true, false, NULL },
		{ { 0, 3072 * GIB }, true, true, "would end past 512 GiB" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct why why;
		int r = layout_check_memory(cases[i].memory, cases[i].irqchip, cases[i].long_mode,
					    &why);

		assert_int_equal(r, cases[i].wrong ? -1 : 0);
		if (r)
			assert_memory_equal(why.text, cases[i].wrong, strlen(cases[i].wrong));
	}
}

static void
finds_the_interrupt_controllers(void **state)
{
	static const struct {
		uint32_t space;
		uint64_t base, length;
		const char *name; /* NULL: none */
	} cases[] = {
		{ MINIVMM_PIO, 0x1f, 1, NULL },
		{ MINIVMM_PIO, 0x1f, 2, "first PIC" },
		{ MINIVMM_PIO, 0x21, 1, "first PIC" },
		{ MINIVMM_PIO, 0x22, 8, NULL },
		{ MINIVMM_PIO, 0x60, 1, NULL },
		{ MINIVMM_PIO, 0x60, 5, "PIT's speaker" },
		{ MINIVMM_MMIO, 0x20, 2, NULL },
		{ MINIVMM_MMIO, 0xfebff000, 0x1000, NULL },
		{ MINIVMM_MMIO, 0xfec00fff, 1, "IOAPIC" },
		{ MINIVMM_MMIO, 0xfec01000, 0x1000, NULL },
		{ MINIVMM_MMIO, 0xfed00000, UINT64_MAX - 0xfed00000, "LAPIC" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		const struct layout_chip *chip =
		    layout_chip_at(cases[i].space, cases[i].base, cases[i].length);

		assert_int_equal(!chip, !cases[i].name);
		if (chip)
			assert_string_equal(chip->name, cases[i].name);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(skips_the_hole),
		cmocka_unit_test(refuses_overlaps),
		cmocka_unit_test(finds_the_interrupt_controllers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
