/* SPDX-License-Identifier: BSD-2-Clause */
/* A PCI function as a guest sees it: sizing and moving BARs, capabilities, masks, pending bits; its
 * state in a snapshot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "pci/function.h"

#include <cmocka.h>

#define MSIX_BAR 4u

struct bench {
	struct pci_function function;
	unsigned moves, messages, resets;
	struct pci_region was;
	struct pci_message last;
	bool up, masters;
	bool paused; /* takes no messages */
};

static struct bench *
bench_of(struct pci_function *f)
{
	return f->context;
}

static void
moved(struct pci_function *f, uint32_t region, const struct pci_region *was)
{
	bench_of(f)->moves++;
	bench_of(f)->was = *was;
}

static bool
message(struct pci_function *f, const struct pci_message *m)
{
	if (bench_of(f)->paused)
		return false;
	bench_of(f)->messages++;
	bench_of(f)->last = *m;
	return true;
}

static void
master(struct pci_function *f, bool is_master)
{
	bench_of(f)->masters = is_master;
}

static void
line(struct pci_function *f, bool up)
{
	bench_of(f)->up = up;
}

static void
reset(struct pci_function *f)
{
	bench_of(f)->resets++;
}

static const struct pci_hooks hooks = {
	.moved = moved, .message = message, .master = master, .line = line, .reset = reset
};

static void
build(struct bench *b)
{
	static const struct pci_identity identity = { .vendor = 0x1234,
						      .device = 0x11e8,
						      .class_code = 0x00ff00,
						      .revision = 0x10,
						      .pin = 1 };
	struct pci_function *f = &b->function;

	memset(b, 0, sizeof(*b));
	pci_function_init(f, &identity, &hooks, b);
	assert_int_equal(pci_function_region(f, 0, MINIVMM_MMIO, 1 << 20, false, false), 0);
	assert_int_equal(pci_function_region(f, 1, MINIVMM_PIO, 5, false, false), 0);
	assert_int_equal(pci_function_region(f, 2, MINIVMM_MMIO, 0x180000000, true, true), 0);
	assert_int_equal(pci_function_region(f, MSIX_BAR, MINIVMM_MMIO, 4096, false, false), 0);
	assert_int_equal(pci_function_region(f, PCI_ROM, MINIVMM_MMIO, 100, false, false), 0);
	assert_int_equal(pci_function_express(f), 0);
	assert_int_equal(pci_function_msix(f, 3, MSIX_BAR, 0, MSIX_BAR, 2048), 0);
	assert_int_equal(pci_function_msi(f, 4), 0);
	pci_function_seal(f);
}

static int
setup(void **state)
{
	static struct bench bench;

	build(&bench);
	*state = &bench;
	return 0;
}

static int
teardown(void **state)
{
	pci_function_free(&((struct bench *)*state)->function);
	return 0;
}

static void
test_regions(void **state)
{
	struct bench *b = *state;
	struct pci_function *f = &b->function;
	static const struct {
		uint32_t at, sized;
	} bars[] = {
		{ 0x10, 0xfff00000 }, { 0x14, 0xfffffff9 }, { 0x18, 0x0000000c },
		{ 0x1c, 0xfffffffe }, { 0x20, 0xfffff000 }, { 0x24, 0 },
		{ 0x30, 0xfffff801 },
	};

	for (size_t i = 0; i < sizeof(bars) / sizeof(*bars); i++) {
		pci_function_write(f, bars[i].at, 4, 0xffffffff);
		assert_int_equal(pci_function_read(f, bars[i].at, 4), bars[i].sized);
		pci_function_write(f, bars[i].at, 4, 0);
	}
	assert_int_equal(b->moves, 0); /* decode is off */
	/* Indices that are taken, or halves. */
	assert_int_equal(pci_function_region(f, 0, MINIVMM_MMIO, 16, false, false), -1);
	assert_int_equal(pci_function_region(f, 3, MINIVMM_MMIO, 16, false, false), -1);
	assert_int_equal(pci_function_region(f, 5, MINIVMM_MMIO, 16, true, false), -1);
}

static void
test_moves(void **state)
{
	struct bench *b = *state;
	struct pci_function *f = &b->function;

	pci_function_write(f, 0x10, 4, 0xe0000000);
	pci_function_write(f, 0x18, 4, 0);
	pci_function_write(f, 0x1c, 4, 0x20);
	pci_function_write(f, PCI_COMMAND, 2, PCI_DECODE_MEMORY);
	assert_int_equal(b->moves, 3); /* three memory BARs; not the ROM */
	assert_true(f->regions[0].mapped && f->regions[2].mapped && !f->regions[1].mapped);
	assert_int_equal(f->regions[0].base, 0xe0000000);
	assert_int_equal(f->regions[2].base, 0x2000000000);
	/* A byte of a BAR, while it decodes. */
	pci_function_write(f, 0x13, 1, 0xd0);
	assert_int_equal(f->regions[0].base, 0xd0000000);
	assert_int_equal(b->was.base, 0xe0000000);
	assert_int_equal(b->moves, 4);
	pci_function_write(f, PCI_COMMAND, 2, PCI_DECODE_IO);
	assert_true(!f->regions[0].mapped && f->regions[1].mapped);
}

static void
test_msix(void **state)
{
	struct bench *b = *state;
	struct pci_function *f = &b->function;

	assert_false(pci_function_notify(f, 0));
	assert_int_equal(b->messages, 0);
	pci_function_write(f, PCI_COMMAND, 2, PCI_BUS_MASTER);
	pci_function_write(f, f->msix + 2, 2, 0xffff);
	assert_int_equal(pci_function_read(f, f->msix + 2, 2), 0xc002);
	pci_msix_write(f, 16, 8, 0x1fee01003);
	pci_msix_write(f, 24, 8, 0x4041);
	assert_int_equal(pci_msix_read(f, 16, 8), 0x1fee01000);
	assert_true(pci_function_notify(f, 1));
	assert_int_equal(b->messages, 0); /* the function is masked */
	assert_int_equal(pci_pba_read(f, 0, 8), 2);
	pci_function_write(f, f->msix + 2, 2, 0x8000);
	assert_int_equal(b->messages, 1);
	assert_int_equal(b->last.data, 0x4041);
	assert_int_equal(b->last.address, 0x1fee01000);
	assert_int_equal(pci_pba_read(f, 0, 4), 0);
	/* What is not aligned lies in no entry. */
	pci_msix_write(f, 28, 8, 0);
	pci_msix_write(f, 18, 4, 0);
	assert_int_equal(pci_msix_read(f, 16, 8), 0x1fee01000);
	assert_int_equal(pci_msix_read(f, 12, 8), 0);
	assert_int_equal(pci_msix_read(f, 44, 8), 0);
	assert_int_equal(pci_msix_read(f, 18, 4), 0);
	/* A masked vector stays pending. */
	pci_function_notify(f, 2);
	assert_int_equal(pci_pba_read(f, 0, 4), 4);
	pci_msix_write(f, 44, 4, 0);
	assert_int_equal(b->messages, 2);
	/* Without bus mastering a message is lost. */
	pci_function_write(f, PCI_COMMAND, 2, 0);
	pci_function_notify(f, 1);
	assert_int_equal(b->messages, 2);
	assert_int_equal(f->dropped, 1);
}

static void
test_msi(void **state)
{
	struct bench *b = *state;
	struct pci_function *f = &b->function;
	uint32_t at = f->msi;

	pci_function_write(f, PCI_COMMAND, 2, PCI_BUS_MASTER);
	pci_function_write(f, at + 4, 4, 0xfee00000);
	pci_function_write(f, at + 12, 2, 0x30);
	pci_function_write(f, at + 2, 2, 1 | 2 << 4); /* 4 messages */
	pci_function_notify(f, 3);
	assert_int_equal(b->last.data, 0x33);
	pci_function_write(f, at + 2, 2, 1); /* 1 message: all share it */
	pci_function_notify(f, 3);
	assert_int_equal(b->last.data, 0x30);
	pci_function_write(f, at + 16, 4, 0xffffffff);
	assert_int_equal(pci_function_read(f, at + 16, 4), 0xf);
	pci_function_notify(f, 2);
	assert_int_equal(b->messages, 2);
	assert_int_equal(pci_function_read(f, at + 20, 4), 1);
	/* A kernel unmasks those that it has enabled: the others do not wait for more. */
	pci_function_write(f, at + 16, 4, 0xe);
	assert_int_equal(b->messages, 3);
	pci_function_notify(f, 3);
	assert_int_equal(b->messages, 4);
	pci_function_write(f, at + 2, 2, 1 | 1 << 4); /* 2 messages */
	pci_function_notify(f, 3);
	assert_int_equal(pci_function_read(f, at + 20, 4), 2);
	pci_function_write(f, at + 16, 4, 0);
	assert_int_equal(b->messages, 5);
	assert_int_equal(b->last.data, 0x31);
}

static void
test_intx_and_reset(void **state)
{
	struct bench *b = *state;
	struct pci_function *f = &b->function;

	pci_function_intx(f, true);
	assert_true(b->up);
	assert_int_equal(pci_function_read(f, PCI_STATUS, 2) & PCI_STATUS_INTX, PCI_STATUS_INTX);
	pci_function_write(f, PCI_COMMAND, 2, PCI_NO_INTX);
	assert_false(b->up);
	pci_function_write(f, PCI_COMMAND, 2, PCI_DECODE_MEMORY);
	assert_true(b->up);
	pci_function_write(f, f->msix + 2, 2, 0x8000);
	assert_false(b->up);
	pci_function_write(f, f->express + 8, 2, 0x8000);
	assert_int_equal(b->resets, 1);
	assert_int_equal(pci_function_read(f, PCI_COMMAND, 2), 0);
	assert_int_equal(pci_function_read(f, f->msix + 2, 2), 2);
	assert_false(f->regions[0].mapped);
	assert_int_equal(pci_function_read(f, PCI_STATUS, 2), PCI_STATUS_LIST);
}

/* No write changes what is read-only, wherever it lies and however wide it is. */
static void
test_random_writes(void **state)
{
	struct bench *b = *state;
	struct pci_function *f = &b->function;
	uint64_t seed = 1;

	for (int i = 0; i < 100000; i++) {
		uint32_t width = 1u << (seed >> 40 & 1) << (seed >> 41 & 1);
		uint32_t offset = (uint32_t)(seed >> 20) % (PCI_CONFIG_BYTES / width) * width;

		pci_function_write(f, offset, width, (uint32_t)seed);
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	}
	for (uint32_t i = 0; i < PCI_CONFIG_BYTES; i++)
		if (i != PCI_STATUS && !(i >= f->msi + 20 && i < f->msi + 24))
			assert_int_equal((f->config[i] ^ f->initial[i]) & ~f->writable[i], 0);
}

/* State of each kind: all differs from that of a new function. */
static void
use(struct bench *b)
{
	struct pci_function *f = &b->function;

	pci_function_write(f, PCI_BAR0, 4, 0xe0000000);
	pci_function_write(f, PCI_COMMAND, 2, PCI_DECODE_MEMORY | PCI_BUS_MASTER);
	pci_function_write(f, PCI_INTERRUPT_LINE, 1, 11);
	pci_function_write(f, f->msi + 16, 4, 0xf);
	pci_function_write(f, f->msi + 2, 2, 1 | 2 << 4);
	pci_function_notify(f, 2); /* waits for the mask */
	pci_function_write(f, f->msix + 2, 2, 0x8000);
	pci_msix_write(f, 16, 8, 0x1fee01000);
	pci_msix_write(f, 24, 8, 0x4041);
	pci_function_notify(f, 0); /* waits for its mask */
	b->paused = true;
	pci_function_notify(f, 1); /* waits for the resume */
	pci_function_intx(f, true);
	assert_int_equal(b->messages, 0);
}

static struct record
saved(struct bench *b, struct record_writer *writer)
{
	struct record group;

	*writer = (struct record_writer){ 0 };
	pci_function_save(&b->function, writer);
	record_finish(writer);
	assert_false(writer->failed);
	assert_int_equal(record_open(writer->data, writer->length, &group, NULL), 0);
	return group;
}

static void
test_save_and_load(void **state)
{
	struct bench *b = *state, *other = malloc(sizeof(*other));
	struct pci_function *f = &b->function, *g;
	struct record_writer first, second;
	struct record group;
	struct why why;

	assert_non_null(other);
	build(other);
	g = &other->function;
	use(b);
	group = saved(b, &first);
	assert_int_equal(pci_function_valid(g, &group, &why), 0);
	pci_function_load(g, &group);
	for (uint32_t at = 0; at < PCI_EXTENDED; at += 4)
		assert_int_equal(pci_function_read(g, at, 4), pci_function_read(f, at, 4));
	for (uint32_t at = 0; at < 48; at += 8)
		assert_int_equal(pci_msix_read(g, at, 8), pci_msix_read(f, at, 8));
	assert_int_equal(pci_pba_read(g, 0, 8), 3);
	assert_int_equal(pci_function_read(g, g->msi + 20, 4), 4);
	assert_true(g->regions[0].mapped && g->regions[0].base == 0xe0000000);
	assert_true(other->masters && other->moves == 3);
	saved(other, &second);
	assert_int_equal(first.length, second.length);
	assert_int_equal(other->messages, 0);
	/* The message that was deferred goes out now, and those that were masked later. */
	pci_function_resume(g);
	assert_int_equal(other->messages, 1);
	assert_int_equal(other->last.data, 0x4041);
	assert_int_equal(other->last.address, 0x1fee01000);
	pci_msix_write(g, 12, 4, 0);
	assert_int_equal(other->messages, 2);
	pci_function_write(g, g->msix + 2, 2, 0);
	pci_function_write(g, g->msi + 16, 4, 0);
	assert_int_equal(other->messages, 3);
	pci_function_write(g, g->msi + 2, 2, 0);
	assert_true(other->up);
	record_writer_free(&first);
	record_writer_free(&second);
	pci_function_free(g);
	free(other);
}

/* The bytes of an item, to change them. */
static uint8_t *
item_of(const struct record *group, const char *name)
{
	struct record item;

	assert_true(record_find(group, name, &item));
	return (uint8_t *)(uintptr_t)item.data;
}

static void
test_valid(void **state)
{
	struct bench *b = *state;
	struct pci_function *f = &b->function;
	struct record_writer writer;
	struct record group;
	struct why why;

	use(b);
	group = saved(b, &writer);
	item_of(&group, "msi_pending")[0] = 0x14;
	assert_int_equal(pci_function_valid(f, &group, &why), -1);
	assert_string_equal(why.text, "msi_pending has a message that the function lacks");
	item_of(&group, "msi_pending")[0] = 4;
	item_of(&group, "vectors")[2 * 16 + 12] = 5;
	assert_int_equal(pci_function_valid(f, &group, &why), -1);
	assert_string_equal(why.text, "vector 2 has unknown flags");
	item_of(&group, "vectors")[2 * 16 + 12] = 1;
	f->vector_count = 2; /* another function */
	assert_int_equal(pci_function_valid(f, &group, &why), -1);
	assert_string_equal(why.text, "it is incomplete, or belongs to another function");
	f->vector_count = 3;
	record_put_bool(&writer, "more", true);
	assert_int_equal(record_open(writer.data, writer.length, &group, NULL), 0);
	assert_int_equal(pci_function_valid(f, &group, &why), -1);
	record_writer_free(&writer);
	/* What a guest cannot write is not taken. */
	group = saved(b, &writer);
	memset(item_of(&group, "config"), 0xff, PCI_EXTENDED);
	item_of(&group, "vectors")[0] = 0xff;
	assert_int_equal(pci_function_valid(f, &group, &why), 0);
	pci_function_load(f, &group);
	for (uint32_t i = 0; i < PCI_EXTENDED; i++)
		assert_int_equal((f->config[i] ^ f->initial[i]) & ~f->writable[i], 0);
	assert_int_equal(pci_msix_read(f, 0, 4), 0xfc);
	record_writer_free(&writer);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_regions),       TEST(test_moves),          TEST(test_msix),
		TEST(test_msi),           TEST(test_intx_and_reset), TEST(test_random_writes),
		TEST(test_save_and_load), TEST(test_valid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
