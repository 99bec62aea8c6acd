/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI transport of virtio (virtio 1.2, section 4.1), register by register. The core's side of
 * PCI is in unit/pci.c.
 */
#include "unit/virtio_pci_bench.h"

/* The common configuration is these bytes, in accesses of any width at any offset. */
static void
assert_common(struct fake *f, const uint8_t *expected)
{
	for (uint32_t width = 1; width <= 8; width *= 2)
		for (uint32_t offset = 0; offset < COMMON + 8; offset++) {
			uint64_t value = 0;

			if (offset + width <= COMMON)
				memcpy(&value, expected + offset, width);
			if (get_of(f, offset, width) != value)
				fail_msg("0x%llx, not 0x%llx, of %u bytes at %u",
					 (unsigned long long)get_of(f, offset, width),
					 (unsigned long long)value, width, offset);
		}
}

/* The registers after a few writes, with a queue that exists or without. */
static void
reads(void **state)
{
	uint8_t expected[COMMON] = {
		0, 0, 0, 0, 0x26, 0, 0, 0x30, 1,    0,    0,    0,    1, 0, 0, 0, /* features */
		3, 0, 4, 0, 11,   9, 2, 0,    0x20, 0,    4,    0,    1, 0, 2, 0, /* to notify_off
										   */
		8, 7, 6, 5, 4,    3, 2, 1,    0x18, 0x17, 0x16, 0x15, 0, 0, 0, 0, 0,
		0, 0, 0, 1, 0,    0, 0,
	};
	uint8_t absent[COMMON];

	balloon_of(&fake)->generation = 0x309;
	put(STATUS, 1, 3);
	put(8, 4, 1);
	put(12, 4, 1);
	put(16, 2, 3);
	put(STATUS, 1, 11);
	put(SELECT, 2, 2);
	put(SIZE, 2, 0x20);
	put(VECTOR, 2, 4);
	put(DESC, 4, 0x05060708);
	put(DESC + 4, 4, 0x01020304);
	put(DESC + 8, 4, 0x15161718);
	put(DESC + 20, 4, 1);
	put(ENABLE, 2, 1);
	assert_common(&fake, expected);
	put(0, 4, 1);
	assert_int_equal(get(4, 4), 1); /* VERSION_1 */
	put(0, 4, 2);
	put(8, 4, 32);
	assert_int_equal(get(4, 4), 0);
	assert_int_equal(get(12, 4), 0);
	put(0, 4, 0);
	put(8, 4, 1);
	memcpy(absent, expected, 24);
	memset(absent + 24, 0, sizeof(absent) - 24);
	for (uint32_t q = QUEUES; q < 0x10000; q = 4 * q + 3) {
		put(SELECT, 2, q);
		memcpy(absent + SELECT, &q, 2);
		assert_common(&fake, absent);
		put(SIZE, 2, 8);
		put(VECTOR, 2, 1);
		put(ENABLE, 2, 1);
		put(DESC, 8, ~0ull);
		assert_common(&fake, absent);
	}
	put(SELECT, 2, 2);
	assert_common(&fake, expected);
}

/* Nothing is between the structures, nor at odd offsets. */
static void
gaps(void **state)
{
	static const uint8_t registers[] = { 0,  8,  12, 16, 20, 22, 24, 26,
					     28, 32, 36, 40, 44, 48, 52 };
	struct balloon before;

	begin();
	virtio_interrupt_config(&fake.device, &balloon_of(&fake)->virtio);
	before = *balloon_of(&fake);
	for (uint32_t width = 1; width <= 8; width *= 2)
		for (uint32_t offset = 0; offset + width <= DEVICE; offset++) {
			if (offset < COMMON && width < 8 &&
			    memchr(registers, (int)offset, sizeof(registers)))
				continue;
			if (width == 8 && (offset % 4 == 0 || offset == 18 || offset == 22) &&
			    offset < COMMON)
				continue; /* a register is in one of its halves */
			put(offset, width, ~0ull);
			if (offset >= COMMON && offset != ISR)
				assert_int_equal(get(offset, width), 0);
		}
	for (uint32_t offset = DEVICE + VIRTIO_CONFIG_BYTES - 7; offset + 8 <= END; offset++) {
		put(offset, 8, ~0ull);
		assert_int_equal(get(offset, 8), 0);
	}
	memset(balloon_of(&fake)->virtio.pending, 0, sizeof(before.virtio.pending));
	memset(before.virtio.pending, 0, sizeof(before.virtio.pending));
	before.virtio.budget = balloon_of(&fake)->virtio.budget;
	assert_memory_equal(balloon_of(&fake), &before, sizeof(before));
}

/* 256 until it is written, and after a reset; powers of 2 of at most 256, until it is enabled. */
static void
queue_size(void **state)
{
	static const uint16_t wrong[] = { 0, 3, 255, 257, 512, 0x8000, 0xffff };

	for (uint32_t q = 0; q < QUEUES; q++) {
		put(SELECT, 2, q);
		assert_int_equal(get(SIZE, 2), 256);
	}
	for (uint32_t size = 1; size <= 256; size *= 2) {
		put(SIZE, 2, size);
		assert_int_equal(get(SIZE, 2), size);
	}
	put(SIZE, 2, 16);
	put(ENABLE, 2, 1);
	put(SIZE, 2, 32);
	assert_int_equal(get(SIZE, 2), 16);
	put(STATUS, 1, 0);
	put(SELECT, 2, QUEUES - 1);
	assert_int_equal(get(SIZE, 2), 256);
	put(ENABLE, 2, 1);
	assert_int_equal(get(SIZE, 2), 256);
	assert_int_equal(balloon_of(&fake)->virtio.size[QUEUES - 1], 256);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		put(STATUS, 1, 0);
		put(SIZE, 2, wrong[i]);
		assert_int_equal(get(STATUS, 1), 64); /* DEVICE_NEEDS_RESET */
		assert_int_equal(get(SIZE, 2), 256);
	}
}

/* Only 1 enables, and only once: the device continues where it was. */
static void
queue_enable(void **state)
{
	static const uint16_t wrong[] = { 0, 2, 3, 0x100, 0x101, 0xffff };

	put(SELECT, 2, 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		put(ENABLE, 2, wrong[i]);
		assert_int_equal(get(ENABLE, 2), 0);
	}
	begin();
	request(0);
	put(NOTIFY, 2, 0);
	assert_int_equal(used(0), 1);
	put(SELECT, 2, 0);
	for (uint16_t value = 0; value < 3; value++) {
		put(ENABLE, 2, value);
		assert_int_equal(get(ENABLE, 2), 1);
	}
	put(DESC, 8, ~0ull);
	assert_int_equal(get(DESC, 8), driver_queue(0));
	request(0);
	put(NOTIFY, 2, 0);
	assert_int_equal(used(0), 1);
	assert_int_equal(balloon_of(&fake)->virtio.used_idx[0], 2);
}

/* An access of 8 bytes is one to each half, the low one first. */
static void
wide_writes(void **state)
{
	put(SELECT, 2, 3);
	for (uint32_t at = DESC; at <= DESC + 16; at += 8) {
		put(at, 8, 0x1122334455667788 + at);
		assert_int_equal(get(at, 8), 0x1122334455667788 + at);
		put(at, 4, 0xaabbccdd);
		assert_int_equal(get(at, 8), 0x11223344aabbccdd);
		put(at + 4, 4, 0x99887766);
		assert_int_equal(get(at, 8), 0x99887766aabbccdd);
	}
	put(DESC + 12, 8, 0x0102030405060708); /* the halves of two addresses */
	assert_int_equal(get(DESC + 8, 8), 0x05060708aabbccdd);
	assert_int_equal(get(DESC + 16, 8), 0x9988776601020304);
	put(8, 8, 0x100000001); /* the word 1 of the features, and VERSION_1 in it */
	assert_int_equal(balloon_of(&fake)->virtio.driver_features, VIRTIO_F_VERSION_1);
}

/* Section 4.1.5.1.2: a vector that the device lacks reads back as none. */
static void
vectors(void **state)
{
	static const uint16_t wrong[] = {
		VECTORS, 9, 10, 0xff, 0x100, 0x7ff, 0x8000, 0xfffe, NONE
	};

	for (uint32_t q = 0; q <= QUEUES; q++) { /* the last round: config_msix_vector */
		uint32_t at = q < QUEUES ? VECTOR : 16;

		put(SELECT, 2, q);
		assert_int_equal(get(at, 2), NONE);
		for (uint32_t i = 0; i < VECTORS; i++) {
			put(at, 2, i);
			assert_int_equal(get(at, 2), i);
		}
		for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
			put(at, 2, 1);
			put(at, 2, wrong[i]);
			assert_int_equal(get(at, 2), NONE);
		}
	}
	balloon_of(&fake)->virtio.messages[0].handle = 0; /* a function without MSI-X */
	put(16, 2, 0);
	assert_int_equal(get(16, 2), NONE);
}

/* By the pin: a read of the ISR clears it and lowers the pin. */
static void
by_pin(void **state)
{
	begin();
	assert_int_equal(get(ISR, 1), 0);
	for (uint32_t width = 1; width <= 8; width *= 2) {
		request(0);
		put(NOTIFY, 2, 0);
		assert_true(seen.up);
		virtio_interrupt_config(&fake.device, &balloon_of(&fake)->virtio);
		put(ISR, 1, 0xff);
		assert_int_equal(get(ISR + 1, 1), 0);
		assert_true(seen.up);
		assert_int_equal(get(ISR, width), 3);
		assert_false(seen.up);
		assert_int_equal(get(ISR, 1), 0);
	}
	virtio_interrupt_config(&fake.device, &balloon_of(&fake)->virtio);
	assert_int_equal(get(ISR, 1), 2);
	request(1);
	memcpy(driver.memory + driver_queue(1) + 0x400, "\1", 1); /* NO_INTERRUPT */
	put(NOTIFY + 4, 2, 1);
	assert_int_equal(used(1), 1);
	assert_false(seen.up);
	assert_int_equal(get(ISR, 1), 0);
	for (uint32_t i = 0; i < VECTORS; i++)
		assert_int_equal(seen.messages[i], 0);
}

/* By messages: each queue and the configuration have their own, or share one. */
static void
by_message(void **state)
{
	begin();
	for (uint32_t q = 0; q < QUEUES; q++) {
		put(SELECT, 2, q);
		put(VECTOR, 2, q < 2 ? q : 2);
	}
	for (uint32_t q = 0; q < QUEUES; q++) {
		request(q);
		put(NOTIFY + 4 * q, 2, q);
	}
	assert_int_equal(get(ISR, 1), 0);
	put(16, 2, 4);
	virtio_interrupt_config(&fake.device, &balloon_of(&fake)->virtio);
	assert_int_equal(seen.messages[0], 1);
	assert_int_equal(seen.messages[1], 1);
	assert_int_equal(seen.messages[2], 2);
	assert_int_equal(seen.messages[3], 0);
	assert_int_equal(seen.messages[4], 1);
	assert_int_equal(seen.raised, 0);
	assert_int_equal(get(ISR, 1), 2); /* section 4.1.4.5.1: with messages, too */
	/* The device is broken: a message of the configuration. */
	virtio_broken(&fake.device, &balloon_of(&fake)->virtio, "a test");
	assert_int_equal(seen.messages[4], 2);
	assert_int_equal(seen.raised, 0);
}

/* The address of each queue, with any value and width; no queue is behind the last. */
static void
notifies(void **state)
{
	begin();
	for (uint32_t offset = NOTIFY; offset < END; offset += 4) {
		uint32_t q = (offset - NOTIFY) / 4;

		for (uint32_t width = 1; width <= 8; width *= 2) {
			if (q < QUEUES)
				request(q);
			put(offset, width, width == 2 ? q : ~0ull);
			for (uint32_t i = 0; i < QUEUES; i++)
				assert_int_equal(used(i), i == q);
		}
		if (q < QUEUES) {
			put(SELECT, 2, q);
			assert_int_equal(get(30, 2), q);
		}
	}
	put(STATUS, 1, 11);
	request(0);
	put(NOTIFY, 2, 0);
	assert_int_equal(used(0), 0);
}

/* The device's configuration, of which the balloon has 8 bytes. */
static void
configuration(void **state)
{
	balloon_of(&fake)->pages = 0x11223344;
	put(DEVICE + 4, 4, 0x55667788);
	put(DEVICE + 4, 2, 0);
	put(DEVICE, 4, 0);
	assert_int_equal(get(DEVICE, 8), 0x5566778811223344);
	assert_int_equal(get(DEVICE + 1, 2), 0x2233);
	assert_int_equal(get(DEVICE + 7, 1), 0x55);
	assert_int_equal(get(DEVICE + VIRTIO_CONFIG_BYTES - 8, 8), 0);
	balloon_of(&fake)->generation = 7;
	assert_int_equal(get(21, 1), 7);
}

/* Status 0 and a reset of the function: as at the start, and the pin is down. */
static void
resets(void **state)
{
	driver_create(&copy, &balloon);
	into_slot(&copy);
	memset(balloon_of(&copy)->virtio.pending, 0, sizeof(bool) * VIRTIO_QUEUES);
	for (int function = 0; function < 2; function++) {
		begin();
		put(0, 4, 1);
		put(16, 2, 0);
		put(SELECT, 2, 2);
		put(VECTOR, 2, 2);
		request(0);
		put(NOTIFY, 2, 0);
		put(16, 2, NONE);
		virtio_broken(&fake.device, &balloon_of(&fake)->virtio, "a test");
		assert_true(seen.up);
		put(16, 2, 3);
		if (function)
			assert_int_equal(balloon.pci[0].reset(&fake.device), 0);
		else
			put(STATUS, 1, 0);
		assert_false(seen.up);
		fake_assert_same(&fake, &copy);
		assert_true(virtio_in_slot(&balloon_of(&fake)->virtio));
		assert_int_equal(balloon_of(&fake)->virtio.messages[VECTORS - 1].handle,
				 MESSAGES + VECTORS - 1);
		memset(&driver, 0, sizeof(driver));
	}
}

/* All that the guest can read, and the vectors of all queues, are in a snapshot. */
static void
saves(void **state)
{
	uint8_t expected[COMMON];

	begin();
	put(0, 4, 1);
	put(16, 2, VECTORS - 1);
	for (uint32_t q = 0; q < QUEUES; q++) {
		put(SELECT, 2, q);
		put(VECTOR, 2, q);
	}
	request(0);
	put(NOTIFY, 2, 0);
	virtio_interrupt_config(&fake.device, &balloon_of(&fake)->virtio);
	put(SELECT, 2, 1);
	fake_copy(&copy, &fake);
	into_slot(&copy);
	assert_int_equal(balloon.loaded(&copy.device), 0);
	fake_start(&copy, MINIVMM_RESTORED);
	fake_assert_same(&fake, &copy);
	for (uint32_t q = 0; q < QUEUES; q++) {
		struct minivmm_access access = { .offset = SELECT, .width = 2 };

		put(SELECT, 2, q);
		assert_int_equal(virtio_pci_write(&copy.device, &access, q), 0);
		for (uint32_t at = 0; at < COMMON; at++)
			expected[at] = (uint8_t)get(at, 1);
		assert_common(&copy, expected);
	}
	memset(&seen, 0, sizeof(seen));
	for (uint32_t q = 0; q < QUEUES; q++)
		virtio_interrupt(&copy.device, &balloon_of(&copy)->virtio, q);
	virtio_interrupt_config(&copy.device, &balloon_of(&copy)->virtio);
	for (uint32_t i = 0; i < VECTORS; i++)
		assert_int_equal(seen.messages[i], 1);
	assert_int_equal(get_of(&copy, ISR, 1), 2);
}

/* A damaged snapshot has vectors that the device lacks. */
static void
loads_only_its_vectors(void **state)
{
	struct virtio *v = &balloon_of(&fake)->virtio;

	for (uint32_t which = 0; which <= VIRTIO_QUEUES; which++) {
		uint16_t *member = which < VIRTIO_QUEUES ? &v->vectors[which] : &v->config_vector;

		for (uint32_t vector = 0; vector <= NONE; vector++) {
			bool exists = vector < VECTORS || vector == NONE;
			char text[16];

			*member = (uint16_t)vector;
			fake.last[0] = '\0';
			assert_int_equal(balloon.loaded(&fake.device), exists ? 0 : -1);
			snprintf(text, sizeof(text), "vector %u", vector);
			assert_true(exists || strstr(fake.last, text));
			assert_true(exists || strstr(fake.last, "the snapshot is damaged"));
		}
		assert_int_equal(balloon.loaded(&fake.device), 0);
	}
	memset(v->messages, 0, sizeof(v->messages)); /* at an address, not in a slot */
	assert_int_equal(balloon.loaded(&fake.device), 0);
	v->vectors[0] = 0;
	assert_int_equal(balloon.loaded(&fake.device), -1);
	v->vectors[0] = NONE;
	v->config_vector = 0;
	assert_int_equal(balloon.loaded(&fake.device), -1);
}

/* A snapshot of an earlier version has no vectors. */
static void
loads_earlier(void **state)
{
	struct minivmm_field earlier[64] = { 0 };
	struct record_writer writer = { 0 };
	struct record root;
	struct why why;
	size_t count = 0;

	for (const struct minivmm_field *f = balloon.fields; f->name; f++)
		if (f->since < 4)
			earlier[count++] = *f;
	begin();
	fields_save(earlier, fake.device.state, &writer);
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	driver_create(&copy, &balloon);
	into_slot(&copy);
	assert_int_equal(fields_load(balloon.fields, copy.device.state, &root, 3, &why), 0);
	record_writer_free(&writer);
	assert_int_equal(balloon.loaded(&copy.device), 0);
	fake_assert_same(&fake, &copy);
}

static struct minivmm_bind binds[QUEUES];
static uint32_t bind_count;

static int
bind_write(struct minivmm_device *dev, const struct minivmm_bind *bind)
{
	binds[bind_count++ % QUEUES] = *bind;
	return 0;
}

/* Notifications by ioeventfd: at the address of each queue, or in the register of the MMIO range.
 */
static void
ioeventfds(void **state)
{
	fake.services.bind_write = bind_write;
	for (uint32_t in_slot = 0; in_slot < 2; in_slot++) {
		balloon_of(&fake)->virtio.pin.handle = in_slot ? PIN : 0;
		bind_count = 0;
		assert_int_equal(virtio_ioeventfds(&fake.device), 0);
		assert_int_equal(bind_count, QUEUES);
		for (uint32_t q = 0; q < QUEUES; q++) {
			assert_int_equal(binds[q].range, in_slot);
			assert_int_equal(binds[q].offset,
					 in_slot ? NOTIFY + 4 * q : VIRTIO_QUEUE_NOTIFY);
			assert_int_equal(binds[q].width, in_slot ? 2 : 4);
			assert_int_equal(binds[q].value, q);
			assert_int_equal(binds[q].watch, q);
		}
	}
}

int
main(void)
{
#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(reads),
		TEST(gaps),
		TEST(queue_size),
		TEST(queue_enable),
		TEST(wide_writes),
		TEST(vectors),
		TEST(by_pin),
		TEST(by_message),
		TEST(notifies),
		TEST(configuration),
		TEST(resets),
		TEST(saves),
		TEST(loads_only_its_vectors),
		TEST(loads_earlier),
		TEST(ioeventfds),
	};

	return cmocka_run_group_tests_name("virtio_pci", tests, NULL, NULL);
}
