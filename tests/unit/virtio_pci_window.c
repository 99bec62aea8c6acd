/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The capabilities of virtio's PCI transport (virtio 1.2, section 4.1.4), and accesses to the
 * registers through CFG_PCI.
 */
#include "unit/virtio_pci_bench.h"

/* The capability CFG_PCI, from its id on. */
static uint8_t window_bytes[20];

static const struct minivmm_capability *
window_row(uint32_t bar, uint32_t offset, uint32_t length)
{
	const struct minivmm_capability *row = balloon.pci[0].capabilities;

	while (!row->read)
		row++;
	assert_int_equal(row->length, sizeof(window_bytes) - 2);
	window_bytes[0] = (uint8_t)row->id;
	memcpy(window_bytes + 2, row->bytes, 4);
	window_bytes[4] = (uint8_t)bar;
	memcpy(window_bytes + 8, &offset, 4);
	memcpy(window_bytes + 12, &length, 4);
	return row;
}

static uint32_t
window_get(uint32_t offset, uint32_t length, uint32_t at, uint32_t width)
{
	uint32_t value = 0x0badbad0;

	assert_int_equal(
	    window_row(0, offset, length)->read(&fake.device, window_bytes, 16 + at, width, &value),
	    0);
	return value;
}

static void
window_put(uint32_t offset, uint32_t length, uint32_t data, uint32_t at, uint32_t width)
{
	const struct minivmm_capability *row = window_row(0, offset, length);

	memcpy(window_bytes + 16, &data, 4);
	assert_int_equal(row->written(&fake.device, window_bytes, 16 + at, width), 0);
}

/* Accesses through config space reach all of the BAR, with any access to the data. */
static void
window_accesses(void **state)
{
	begin();
	memset(window_bytes, 0xee, sizeof(window_bytes));
	assert_int_equal(window_get(STATUS, 1, 0, 1), 15);
	assert_int_equal(window_get(STATUS, 1, 0, 4), 0xeeeeee0f); /* only one byte is new */
	assert_int_equal(window_get(18, 2, 0, 2), QUEUES);
	assert_int_equal(window_get(4, 4, 0, 4), 0x30000026);
	assert_int_equal(window_get(4, 4, 1, 1), 0);
	assert_int_equal(window_get(4, 4, 2, 2), 0x3000);
	assert_int_equal(window_get(4, 4, 3, 1), 0x30);
	assert_int_equal(window_get(END - 4, 4, 0, 4), 0);
	window_put(16, 2, 0xabcd0003, 0, 4);
	assert_int_equal(get(16, 2), 3);
	window_put(SELECT, 2, 0xabcd0001, 0, 2);
	window_put(DEVICE + 4, 4, 0x12345678, 3, 1);
	assert_int_equal(balloon_of(&fake)->actual, 0x12345678);
	request(1);
	window_put(NOTIFY + 4, 2, 1, 0, 2);
	assert_int_equal(used(1), 1);
	assert_true(seen.up);
	assert_int_equal(window_get(ISR, 1, 0, 1), 1);
	assert_false(seen.up);
	window_put(STATUS, 1, 0xffffff00, 0, 1);
	assert_int_equal(get(STATUS, 1), 0);
	/* The other bytes of the capability are only bytes. */
	put(STATUS, 1, 3);
	for (uint32_t at = 0; at < 16; at++) {
		assert_int_equal(window_get(STATUS, 1, at - 16, 1), 0x0badbad0);
		window_put(STATUS, 1, 0, at - 16, 1);
	}
	assert_int_equal(get(STATUS, 1), 3);
}

/* Wrong windows do nothing. */
static void
window_mistakes(void **state)
{
	static const struct {
		uint32_t bar, offset, length;
	} wrong[] = {
		{ 1, 20, 1 },      { 2, 0, 4 },        { 5, 0, 4 },         { 255, 0, 4 },
		{ 0, 20, 0 },      { 0, 20, 3 },       { 0, 16, 8 },        { 0, 20, 5 },
		{ 0, 0, ~0u },     { 0, 20, 0x10001 }, { 0, 17, 2 },        { 0, 22, 4 },
		{ 0, END, 1 },     { 0, END, 4 },      { 0, ~0u, 1 },       { 0, ~1u, 2 },
		{ 0, ~3u, 4 },     { 0, 1u << 31, 4 }, { 0, ISR + 1, 4 },   { 0, ISR + 2, 4 },
		{ 0, NOTIFY, 64 }, { 0, 19, 2 },       { 0, END - 1, 256 },
	};
	struct balloon before;

	begin();
	virtio_interrupt_config(&fake.device, &balloon_of(&fake)->virtio);
	request(0);
	before = *balloon_of(&fake);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		const struct minivmm_capability *row =
		    window_row(wrong[i].bar, wrong[i].offset, wrong[i].length);
		uint32_t value = 0x0badbad0;

		memset(window_bytes + 16, 0, 4);
		assert_int_equal(row->read(&fake.device, window_bytes, 16, 4, &value), 0);
		assert_int_equal(value, 0x0badbad0);
		assert_int_equal(row->written(&fake.device, window_bytes, 16, 4), 0);
		assert_memory_equal(balloon_of(&fake), &before, sizeof(before));
	}
	assert_true(seen.up);
	assert_int_equal(used(0), 0);
}

/* The capabilities have the structures where the registers are. */
static void
capabilities(void **state)
{
	static const uint8_t expected[][18] = {
		{ 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, COMMON },
		{ 20, 2, 0, 0, 0, 0, 0, 0x30, 0, 0, 36, 0, 0, 0, 4 },
		{ 16, 3, 0, 0, 0, 0, 0, 0x10, 0, 0, 1 },
		{ 16, 4, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 1 },
		{ 20, 5 },
	};
	const struct minivmm_capability *row = balloon.pci[0].capabilities;

	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++, row++) {
		assert_int_equal(row->id, 9);
		assert_int_equal(row->length + 2, expected[i][0]);
		assert_memory_equal(row->bytes, expected[i], row->length);
		for (uint32_t at = 0; at < row->length; at++)
			assert_int_equal(row->writable ? row->writable[at] : 0,
					 row->read && (at == 2 || at >= 6) ? 0xff : 0);
	}
	assert_int_equal(row->id, 0);
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(capabilities),
		TEST(window_accesses),
		TEST(window_mistakes),
	};

	return cmocka_run_group_tests_name("virtio_pci_window", tests, NULL, NULL);
}
