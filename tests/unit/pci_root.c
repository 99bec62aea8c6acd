/* SPDX-License-Identifier: BSD-2-Clause */
/* The root complex: config accesses through ports and ECAM, and the addresses that it assigns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "pci/complex.h"

#include <cmocka.h>

#include "seed.h"

#define COUNT 12u

static void
moved(struct pci_function *f, uint32_t region, const struct pci_region *was)
{
}

static bool
message(struct pci_function *f, const struct pci_message *m)
{
	return true;
}

static void
master(struct pci_function *f, bool is_master)
{
}

static void
line(struct pci_function *f, bool up)
{
}

static void
reset(struct pci_function *f)
{
}

static const struct pci_hooks hooks = {
	.moved = moved, .message = message, .master = master, .line = line, .reset = reset
};

struct bench {
	struct pci_root root;
	struct pci_function functions[COUNT];
};

static void
make(struct bench *b, uint32_t i, uint32_t slot, uint32_t number)
{
	struct pci_identity identity = { .vendor = 0x1234,
					 .device = (uint16_t)(0x1000 + i),
					 .pin = (uint8_t)(i % 5) };

	pci_function_init(&b->functions[i], &identity, &hooks, b);
	assert_int_equal(pci_root_add(&b->root, slot, number, &b->functions[i]), 0);
}

static int
setup(void **state)
{
	static struct bench bench;

	memset(&bench, 0, sizeof(bench));
	*state = &bench;
	return 0;
}

static uint32_t
ports_read(struct pci_root *root, uint32_t address, uint32_t width)
{
	pci_root_port_write(root, 0, 4, 0x80000000 | (address & 0xfffffc));
	return pci_root_port_read(root, 4 + (address & 3), width);
}

static void
config_accesses(void **state)
{
	struct bench *b = *state;
	struct pci_root *root = &b->root;

	assert_int_equal(pci_root_free_slot(root), 0);
	make(b, 0, 0, 0);
	make(b, 1, 3, 0);
	assert_int_equal(pci_root_free_slot(root), 1);
	assert_int_equal(pci_function_read(&b->functions[1], PCI_HEADER_TYPE, 1), 0);
	make(b, 2, 3, 5);
	make(b, 3, 4, 1); /* without function 0 */
	assert_int_equal(pci_root_add(root, 3, 5, &b->functions[4]), -1);
	assert_int_equal(pci_function_read(&b->functions[1], PCI_HEADER_TYPE, 1), 0x80);
	assert_int_equal(pci_function_read(&b->functions[2], PCI_HEADER_TYPE, 1), 0);
	for (uint32_t i = 0; i < 3; i++) {
		static const uint32_t places[] = { 0, 3 << 3, 3 << 3 | 5 };

		assert_int_equal(pci_root_ecam_read(root, places[i] << 12, 4),
				 (0x1000u + i) << 16 | 0x1234);
		assert_int_equal(ports_read(root, places[i] << 8, 4), (0x1000u + i) << 16 | 0x1234);
		assert_int_equal(ports_read(root, places[i] << 8 | 2, 2), 0x1000u + i);
		assert_int_equal(ports_read(root, places[i] << 8 | 1, 1), 0x12);
		pci_root_port_write(root, 4 + (PCI_INTERRUPT_LINE & 3), 1, 9);
	}
	/* What crosses 4 bytes reaches no register, and not the next function. */
	assert_int_equal(pci_root_ecam_read(root, (3 << 15) + 2, 4), 0xffffffff);
	assert_int_equal(pci_root_ecam_read(root, (3 << 15) + 0xfff, 2), 0xffff);
	pci_root_ecam_write(root, (3 << 15) + PCI_INTERRUPT_LINE - 1, 2, 0x1111);
	assert_int_equal(pci_root_ecam_read(root, (3 << 15) + PCI_INTERRUPT_LINE, 1), 0xff);
	/* Nothing there: another function, slot or bus; and a slot without function 0. */
	assert_int_equal(pci_root_ecam_read(root, (3 << 3 | 1) << 12, 4), 0xffffffff);
	assert_int_equal(pci_root_ecam_read(root, 7 << 15, 2), 0xffff);
	assert_int_equal(pci_root_ecam_read(root, (4 << 3 | 1) << 12, 1), 0xff);
	assert_int_equal(pci_root_ecam_read(root, PCI_ECAM_BYTES, 4), 0xffffffff);
	assert_int_equal(ports_read(root, 1 << 16, 4), 0xffffffff);
	pci_root_ecam_write(root, 7 << 15, 4, 0);
	/* CONFIG_ADDRESS keeps its value; it is no register of bytes, and can be off. */
	pci_root_port_write(root, 0, 4, 0xffffffff);
	assert_int_equal(pci_root_port_read(root, 0, 4), 0x80fffffc);
	pci_root_port_write(root, 1, 1, 6); /* a PC's reset register */
	assert_int_equal(pci_root_port_read(root, 1, 1), 0xff);
	assert_int_equal(pci_root_port_read(root, 0, 4), 0x80fffffc);
	pci_root_port_write(root, 0, 4, 0);
	assert_int_equal(pci_root_port_read(root, 4, 4), 0xffffffff);
	for (uint32_t i = 0; i < 4; i++)
		pci_function_free(&b->functions[i]);
}

static bool
taken(void *context, uint32_t space, uint64_t base, uint64_t length, uint64_t *end)
{
	static const struct {
		uint32_t space;
		uint64_t base, end;
	} fixed[] = { { MINIVMM_MMIO, 0xe0100000, 0xe0101000 }, { MINIVMM_PIO, 0x1010, 0x1018 } };

	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		if (fixed[i].space == space && base < fixed[i].end &&
		    base + length > fixed[i].base) {
			*end = fixed[i].end;
			return true;
		}
	return false;
}

static const uint8_t lines[] = { 16, 17, 18, 19, 20, 21, 22, 23 };

static void
assignment(void **state)
{
	struct bench *b = *state;
	uint64_t seed = random_seed();
	struct why why;

	for (unsigned round = 0; round < 200; round++) {
		struct pci_windows windows = {
			.lines = lines,
			.line_count = sizeof(lines),
			.ports = { 0x1000, 0x10000 },
			.low = { 0xe0000000, 0xfec00000 },
			.high = { 1ull << 40, 1ull << 46 },
			.taken = taken,
		};
		uint64_t end;

		memset(b, 0, sizeof(*b));
		for (uint32_t i = 0; i < COUNT; i++) {
			make(b, i, i / 2 * 3 % PCI_SLOTS, i % 2);
			for (uint32_t bar = 0; bar < PCI_REGIONS; bar++) {
				bool port = !random_below(&seed, 4) && bar != PCI_ROM;
				bool wide = !port && bar < 5 && random_below(&seed, 2);
				uint64_t size = 1ull << random_below(&seed, port   ? 8
									    : wide ? 36
										   : 22);

				pci_function_region(&b->functions[i], bar,
						    port ? MINIVMM_PIO : MINIVMM_MMIO, size, wide,
						    wide);
			}
			pci_function_seal(&b->functions[i]);
		}
		assert_int_equal(pci_root_assign(&b->root, &windows, &why), 0);
		for (uint32_t i = 0; i < COUNT * PCI_REGIONS; i++) {
			const struct pci_region *r =
			    &b->functions[i / PCI_REGIONS].regions[i % PCI_REGIONS];

			if (!r->size)
				continue;
			assert_int_equal(r->mapped, i % PCI_REGIONS != PCI_ROM);
			assert_int_equal(r->base & (r->size - 1), 0);
			assert_false(taken(NULL, r->space, r->base, r->size, &end));
			assert_true(
			    r->space == MINIVMM_PIO
				? r->base >= 0x1000 && r->base + r->size <= 0x10000
				: (r->base >= 0xe0000000 && r->base + r->size <= 0xfec00000) ||
				      (r->wide && r->base >= 1ull << 40));
			for (uint32_t j = 0; j < i; j++) {
				const struct pci_region *o =
				    &b->functions[j / PCI_REGIONS].regions[j % PCI_REGIONS];

				assert_true(!o->size || o->space != r->space ||
					    o->base >= r->base + r->size ||
					    r->base >= o->base + o->size);
			}
		}
		for (uint32_t i = 0; i < COUNT; i++) {
			struct pci_function *f = &b->functions[i];

			assert_false(pci_function_read(f, PCI_COMMAND, 2) & PCI_BUS_MASTER);
			assert_int_equal(
			    pci_function_read(f, PCI_INTERRUPT_LINE, 1),
			    i % 5 ? pci_line(lines, sizeof(lines), i / 2 * 3 % PCI_SLOTS, i % 5 - 1)
				  : PCI_LINE_NONE);
			pci_function_free(f);
		}
	}
}

static void
full_windows(void **state)
{
	struct bench *b = *state;
	struct pci_windows windows = { .lines = lines,
				       .line_count = sizeof(lines),
				       .low = { 0xe0000000, 0xe0001000 } };
	struct why why;

	make(b, 0, 1, 0);
	assert_int_equal(pci_function_region(&b->functions[0], 0, MINIVMM_MMIO, 8192, false, false),
			 0);
	pci_function_seal(&b->functions[0]);
	assert_int_equal(pci_root_assign(&b->root, &windows, &why), -1);
	assert_non_null(strstr(why.text, "no room for region 0 of slot 1.0, 0x2000 bytes"));
	pci_function_free(&b->functions[0]);
}

/* CONFIG_ADDRESS between its two writes; a function for each that the machine has, and no more. */
static void
save_and_load(void **state)
{
	struct pci_member members[2] = { { .slot = 0 }, { .slot = 3, .number = 5 } };
	struct machine *machine = calloc(1, sizeof(*machine)); /* its bus has no range */
	struct pci_complex complex = { .members = members, .count = 2, .machine = machine };
	const struct pci_identity identity = { .vendor = 0x1234 };
	struct record_writer writer = { 0 };
	struct record group;
	struct why why;

	assert_non_null(machine);
	for (uint32_t i = 0; i < 2; i++)
		pci_function_init(&members[i].function, &identity, &hooks, NULL);
	pci_root_port_write(&complex.root, 0, 4, 0x80001810);
	pci_complex_save(&complex, &writer);
	record_finish(&writer);
	assert_false(writer.failed);
	assert_int_equal(record_open(writer.data, writer.length, &group, NULL), 0);
	pci_root_port_write(&complex.root, 0, 4, 0);
	assert_int_equal(pci_complex_valid(&complex, &group, &why), 0);
	pci_complex_load(&complex, &group);
	assert_int_equal(pci_root_port_read(&complex.root, 0, 4), 0x80001810);
	complex.count = 1;
	assert_int_equal(pci_complex_valid(&complex, &group, &why), -1);
	assert_string_equal(why.text, "it has a function that no device has");
	complex.count = 2;
	members[1].number = 4;
	assert_int_equal(pci_complex_valid(&complex, &group, &why), -1);
	assert_string_equal(why.text, "function 3.4 is missing");
	record_writer_free(&writer);
	for (uint32_t i = 0; i < 2; i++)
		pci_function_free(&members[i].function);
	free(machine);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(config_accesses, setup),
		cmocka_unit_test_setup(assignment, setup),
		cmocka_unit_test_setup(full_windows, setup),
		cmocka_unit_test(save_and_load),
	};

	return cmocka_run_group_tests_name("pci_root", tests, NULL, NULL);
}
