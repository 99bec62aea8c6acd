/* SPDX-License-Identifier: BSD-2-Clause */
/* For unit tests of virtio's PCI transport: a balloon in a slot, with a driver made by hand. */
#ifndef TESTS_VIRTIO_PCI_BENCH_H
#define TESTS_VIRTIO_PCI_BENCH_H

#include "../../plugins/virtio-balloon.c"

#include "unit/fake_virtio.h"

/* The registers, as in section 4.1.4.3 and Linux's virtio_pci.h; in BAR 0. */
enum { STATUS = 20, SELECT = 22, SIZE = 24, VECTOR = 26, ENABLE = 28, DESC = 32 };
enum { ISR = 0x1000, DEVICE = 0x2000, NOTIFY = 0x3000, END = 0x4000, COMMON = 64 };

#define QUEUES 4u
#define VECTORS (QUEUES + 1)
#define NONE 0xffffu
#define PIN 1u       /* handles, as the core's */
#define MESSAGES 16u /* and the following */
#define NUMBERS_AT 0x20000u

static struct fake fake, copy;

/* The interrupts of the device. */
static struct {
	bool up; /* the pin */
	unsigned raised, messages[VECTORS];
} seen;

static void
irq(struct minivmm_device *dev, const struct minivmm_irq *line, uint32_t operation)
{
	if (line->handle == PIN) {
		assert_int_not_equal(operation, MINIVMM_IRQ_PULSE);
		seen.up = operation == MINIVMM_IRQ_RAISE;
		seen.raised += seen.up;
		return;
	}
	assert_int_equal(operation, MINIVMM_IRQ_PULSE);
	assert_in_range(line->handle, MESSAGES, MESSAGES + VECTORS - 1);
	seen.messages[line->handle - MESSAGES]++;
}

static int
memory_discard(struct minivmm_device *dev, uint64_t gpa, uint64_t length)
{
	return 0;
}

static struct balloon *
balloon_of(struct fake *f)
{
	return f->device.state;
}

/* What the core sets for a device in a slot. */
static void
into_slot(struct fake *f)
{
	struct virtio *v = &balloon_of(f)->virtio;

	f->services.irq = irq;
	f->services.memory_read = driver_memory_read;
	f->services.memory_write = driver_memory_write;
	f->services.memory_discard = memory_discard;
	v->pin.handle = PIN;
	for (uint32_t i = 0; i < VECTORS; i++)
		v->messages[i].handle = MESSAGES + i;
	assert_int_equal(balloon.configure(&f->device), 0);
}

static int
setup(void **state)
{
	memset(&seen, 0, sizeof(seen));
	memset(&driver, 0, sizeof(driver));
	driver_create(&fake, &balloon);
	into_slot(&fake);
	fake_start(&fake, MINIVMM_FRESH);
	return 0;
}

static int
teardown(void **state)
{
	fake_destroy(&fake);
	fake_destroy(&copy);
	return 0;
}

static uint64_t
get_of(struct fake *f, uint64_t offset, uint32_t width)
{
	struct minivmm_access access = { .offset = offset, .width = width };
	uint64_t value = 0xbad;

	assert_int_equal(virtio_pci_read(&f->device, &access, &value), 0);
	return value;
}

static uint64_t
get(uint64_t offset, uint32_t width)
{
	return get_of(&fake, offset, width);
}

static void
put(uint64_t offset, uint32_t width, uint64_t value)
{
	struct minivmm_access access = { .offset = offset, .width = width };

	assert_int_equal(virtio_pci_write(&fake.device, &access, value), 0);
}

static void
begin(void)
{
	put(STATUS, 1, 0);
	put(STATUS, 1, 3);
	put(8, 4, 1);
	put(12, 4, 1);
	put(STATUS, 1, 11);
	assert_int_equal(get(STATUS, 1), 11);
	for (uint16_t q = 0; q < QUEUES; q++) {
		put(SELECT, 2, q);
		put(SIZE, 2, DRIVER_SIZE);
		put(DESC, 4, driver_queue(q));
		put(DESC + 8, 4, driver_queue(q) + 0x400);
		put(DESC + 16, 4, driver_queue(q) + 0x800);
		put(ENABLE, 2, 1);
	}
	put(STATUS, 1, 15);
	assert_int_equal(get(STATUS, 1), 15);
}

/* A request in a queue, of pages given up or of free memory. */
static void
request(uint32_t queue)
{
	driver_put(queue, NUMBERS_AT, 4, queue > 1);
}

static unsigned
used(uint32_t queue)
{
	unsigned count = 0;

	while (driver_used(queue, NULL) >= 0)
		count++;
	return count;
}

#endif
