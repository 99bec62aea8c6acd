/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A driver of virtio devices over the MMIO transport, for unit tests: memory, and queues that the
 * test fills.
 */
#ifndef TESTS_FAKE_VIRTIO_H
#define TESTS_FAKE_VIRTIO_H

#include "unit/fake_services.h"

#define DRIVER_MEMORY 0x100000u
#define DRIVER_QUEUES 9u
#define DRIVER_SIZE 64u /* descriptors of a queue */
/*
 * Distance between queues. The descriptors are at 0, the available ring at 0x400, the used ring at
 * 0x800.
 */
#define DRIVER_STEP 0x1000u

struct driver {
	uint8_t memory[DRIVER_MEMORY];
	uint16_t next[DRIVER_QUEUES]; /* of the available ring */
	uint16_t seen[DRIVER_QUEUES]; /* of the used ring */
	int watched;                  /* the descriptor of watch 0 */
	bool posted;
};

static struct driver driver;

static int
driver_memory_read(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length)
{
	if (gpa > DRIVER_MEMORY || length > DRIVER_MEMORY - gpa)
		return -1;
	memcpy(to, driver.memory + gpa, length);
	return 0;
}

static int
driver_memory_write(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	if (gpa > DRIVER_MEMORY || length > DRIVER_MEMORY - gpa)
		return -1;
	memcpy(driver.memory + gpa, from, length);
	return 0;
}

static int
driver_watch(struct minivmm_device *dev, uint32_t watch, int fd, uint32_t events)
{
	assert_int_equal(watch, 0);
	driver.watched = fd;
	return 0;
}

static void
driver_post(struct minivmm_device *dev, uint32_t post)
{
	driver.posted = true;
}

/* Like fake_create, with the services that virtio devices need. */
static void
driver_create(struct fake *f, const struct minivmm_plugin *plugin)
{
	fake_create(f, plugin);
	f->services.memory_read = driver_memory_read;
	f->services.memory_write = driver_memory_write;
	f->services.watch = driver_watch;
	f->services.post = driver_post;
}

static uint32_t
driver_read(struct fake *f, uint64_t offset)
{
	struct minivmm_access access = { .offset = offset, .width = 4 };
	uint64_t value = 0;

	assert_int_equal(f->plugin->ranges[0].read(&f->device, &access, &value), 0);
	return (uint32_t)value;
}

static void
driver_write(struct fake *f, uint64_t offset, uint32_t value)
{
	struct minivmm_access access = { .offset = offset, .width = 4 };

	assert_int_equal(f->plugin->ranges[0].write(&f->device, &access, value), 0);
}

static uint64_t
driver_queue(uint32_t queue)
{
	return 0x1000 + queue * DRIVER_STEP;
}

/* Negotiates features and sets up a number of queues. */
static inline void
driver_begin(struct fake *f, uint32_t features, uint32_t queues)
{
	memset(driver.memory, 0, sizeof(driver.memory));
	memset(driver.next, 0, sizeof(driver.next));
	memset(driver.seen, 0, sizeof(driver.seen));
	driver_write(f, VIRTIO_STATUS, 0);
	driver_write(f, VIRTIO_STATUS, 3);
	driver_write(f, VIRTIO_DRIVER_FEATURES_SEL, 0);
	driver_write(f, VIRTIO_DRIVER_FEATURES, features);
	driver_write(f, VIRTIO_DRIVER_FEATURES_SEL, 1);
	driver_write(f, VIRTIO_DRIVER_FEATURES, 1);
	driver_write(f, VIRTIO_STATUS, 11);
	assert_int_equal(driver_read(f, VIRTIO_STATUS), 11);
	for (uint32_t q = 0; q < queues; q++) {
		driver_write(f, VIRTIO_QUEUE_SEL, q);
		driver_write(f, VIRTIO_QUEUE_NUM, DRIVER_SIZE);
		driver_write(f, VIRTIO_QUEUE_DESC_LOW, (uint32_t)driver_queue(q));
		driver_write(f, VIRTIO_QUEUE_DRIVER_LOW, (uint32_t)driver_queue(q) + 0x400);
		driver_write(f, VIRTIO_QUEUE_DEVICE_LOW, (uint32_t)driver_queue(q) + 0x800);
		driver_write(f, VIRTIO_QUEUE_READY, 1);
	}
	driver_write(f, VIRTIO_STATUS, 15);
}

/* Makes a buffer of one descriptor available, without a notification. */
static void
driver_put(uint32_t queue, uint64_t address, uint32_t length, bool device_writes)
{
	uint16_t slot = driver.next[queue] % DRIVER_SIZE;
	struct virtio_desc d = { address, length, (uint16_t)(device_writes ? VIRTIO_DESC_WRITE : 0),
				 0 };
	uint8_t *at = driver.memory + driver_queue(queue);

	memcpy(at + slot * sizeof(d), &d, sizeof(d));
	memcpy(at + 0x404 + 2 * slot, &slot, 2);
	driver.next[queue]++;
	memcpy(at + 0x402, &driver.next[queue], 2);
}

/* The same with a notification. */
static inline void
driver_add(struct fake *f, uint32_t queue, uint64_t address, uint32_t length, bool device_writes)
{
	driver_put(queue, address, length, device_writes);
	driver_write(f, VIRTIO_QUEUE_NOTIFY, queue);
}

/* With event indices: the index of the request for which the device asks a notification. */
static inline uint16_t
driver_event(uint32_t queue)
{
	uint16_t event;

	memcpy(&event, driver.memory + driver_queue(queue) + 0x804 + 8 * DRIVER_SIZE, 2);
	return event;
}

/*
 * The next buffer that the device has used: the bytes written and the descriptor; -1 if there is
 * none.
 */
static int64_t
driver_used(uint32_t queue, uint32_t *descriptor)
{
	const uint8_t *at = driver.memory + driver_queue(queue);
	uint16_t index;
	uint32_t element[2];

	memcpy(&index, at + 0x802, 2);
	if (index == driver.seen[queue])
		return -1;
	memcpy(element, at + 0x804 + 8 * (driver.seen[queue]++ % DRIVER_SIZE), 8);
	if (descriptor)
		*descriptor = element[0];
	return element[1];
}

#endif
