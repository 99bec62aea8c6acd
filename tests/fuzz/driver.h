/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A hostile driver for fuzzers that include a virtio device's source: any bytes in memory and
 * registers, with notifications and changes in turn.
 *
 * An input: a byte, the number of records; a byte of flags; the records, 8 bytes each; the contents
 * of memory. Flags: 1: the driver initializes the device correctly; 2: with all offered features.
 * The other flags belong to the target.
 */
#ifndef TESTS_FUZZ_DRIVER_H
#define TESTS_FUZZ_DRIVER_H

#include <stdlib.h>
#include <string.h>

#include "../../plugins/common/queue.h"

#define DRIVER_MEMORY 0x4000u
#define DRIVER_RECORD 8u
#define DRIVER_QUEUES 2u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct driver_input {
	const uint8_t *records, *end; /* of the records */
	const uint8_t *memory;
	size_t length; /* of the contents of memory */
	uint8_t flags;
};

static uint8_t driver_memory[DRIVER_MEMORY];

static bool
driver_inside(uint64_t gpa, size_t length)
{
	return gpa <= DRIVER_MEMORY && length <= DRIVER_MEMORY - gpa;
}

static int
driver_memory_read(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length)
{
	if (!driver_inside(gpa, length))
		return -1;
	memcpy(to, driver_memory + gpa, length);
	return 0;
}

static int
driver_memory_write(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	if (!driver_inside(gpa, length))
		return -1;
	memcpy(driver_memory + gpa, from, length);
	return 0;
}

static void
driver_log(struct minivmm_device *dev, uint32_t level, const char *text)
{
}

static void
driver_irq(struct minivmm_device *dev, const struct minivmm_irq *irq, uint32_t operation)
{
}

/* The services of a device that are replaced. */
#define DRIVER_SERVICES                                                                            \
	.size = sizeof(struct minivmm_services), .log = driver_log, .irq = driver_irq,             \
	.memory_read = driver_memory_read, .memory_write = driver_memory_write

static void
driver_put(struct minivmm_device *dev, uint64_t offset, uint64_t value)
{
	const struct minivmm_access access = { .offset = offset, .width = 4 };

	virtio_write(dev, &access, value);
}

/* Returns false if the input is too short for its records. */
static bool
driver_input(const uint8_t *data, size_t size, struct driver_input *input)
{
	size_t records = size < 2 ? 0 : data[0] % 32 * DRIVER_RECORD;

	if (size < 2 + records)
		return false;
	*input = (struct driver_input){ .records = data + 2,
					.end = data + 2 + records,
					.memory = data + 2 + records,
					.length = size - 2 - records,
					.flags = data[1] };
	if (input->length > DRIVER_MEMORY)
		input->length = DRIVER_MEMORY;
	return true;
}

static void
driver_negotiate(struct minivmm_device *dev, uint32_t features)
{
	driver_put(dev, VIRTIO_STATUS, 3);
	driver_put(dev, VIRTIO_DRIVER_FEATURES, features & virtio_offered(dev, minivmm_state(dev)));
	driver_put(dev, VIRTIO_DRIVER_FEATURES_SEL, 1);
	driver_put(dev, VIRTIO_DRIVER_FEATURES, 1);
	driver_put(dev, VIRTIO_STATUS, 11);
	for (uint32_t queue = 0; queue < DRIVER_QUEUES; queue++) {
		driver_put(dev, VIRTIO_QUEUE_SEL, queue);
		driver_put(dev, VIRTIO_QUEUE_NUM, 8);
		driver_put(dev, VIRTIO_QUEUE_DESC_LOW, queue * 0x80);
		driver_put(dev, VIRTIO_QUEUE_DRIVER_LOW, 0x400 + queue * 0x100);
		driver_put(dev, VIRTIO_QUEUE_DEVICE_LOW, 0x800 + queue * 0x100);
		driver_put(dev, VIRTIO_QUEUE_READY, 1);
	}
	driver_put(dev, VIRTIO_STATUS, 15);
}

/* Initializes the device up to the first notification, of that queue. */
static void
driver_begin(struct minivmm_device *dev, const struct driver_input *input, uint32_t queue)
{
	if (input->flags & 1)
		driver_negotiate(dev, input->flags & 2 ? UINT32_MAX : 0);
	memset(driver_memory, 0, sizeof(driver_memory));
	memcpy(driver_memory, input->memory, input->length);
	driver_put(dev, VIRTIO_QUEUE_NOTIFY, queue);
}

/*
 * A record: the action by bits (1: write a register, 2 and 4: its width, 8: write memory, 16:
 * notify the queue; the others belong to the target); an address; a value.
 */
static void
driver_play(struct minivmm_device *dev, const uint8_t *record)
{
	static const uint32_t widths[] = { 1, 2, 4, 8 };
	struct minivmm_access access = { .width = widths[record[0] >> 1 & 3] };
	uint64_t value = 0;

	memcpy(&access.offset, record + 1, 2);
	memcpy(&value, record + 3, 5);
	access.offset %= VIRTIO_LENGTH - access.width + 1;
	if (record[0] & 8) /* the driver writes memory meanwhile */
		driver_memory_write(dev, access.offset * 4, &value, access.width);
	else if (record[0] & 1)
		virtio_write(dev, &access, value);
	else
		virtio_read(dev, &access, &value);
	driver_put(dev, VIRTIO_QUEUE_NOTIFY, record[0] >> 4 & 1);
	if (virtio_loaded(dev))
		abort(); /* the device's state cannot be loaded again */
}

#endif
