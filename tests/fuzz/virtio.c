/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes what virtio devices share, as a hostile driver: any bytes in memory and in the registers, notified and changed
 * by turns. A device that takes every request and fills its buffers stands for all.
 */
#include <stdlib.h>
#include <string.h>

#include "../../plugins/virtio/queue.h"

#define MEMORY 0x4000u
#define RECORD 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct driver {
	struct virtio virtio;
	uint8_t memory[MEMORY];
};

static bool
inside(uint64_t gpa, size_t length)
{
	return gpa <= MEMORY && length <= MEMORY - gpa;
}

static int
memory_read(struct minivmm_device *dev, uint64_t gpa, void *to, size_t length)
{
	const struct driver *d = dev->state;

	if (!inside(gpa, length))
		return -1;
	memcpy(to, d->memory + gpa, length);
	return 0;
}

static int
memory_write(struct minivmm_device *dev, uint64_t gpa, const void *from, size_t length)
{
	struct driver *d = dev->state;

	if (!inside(gpa, length))
		return -1;
	memcpy(d->memory + gpa, from, length);
	return 0;
}

static void
say(struct minivmm_device *dev, uint32_t level, const char *format, va_list arguments)
{
}

static void
set_line(struct minivmm_device *dev, const struct minivmm_irq *irq, uint32_t operation)
{
}

/* What is left for later comes no more. */
static void
post(struct minivmm_device *dev, uint32_t row)
{
}

static int
notify(struct minivmm_device *dev, uint32_t queue)
{
	struct driver *d = dev->state;
	struct virtio_request request;
	uint8_t bytes[512];

	while (virtio_pop(dev, &d->virtio, queue, &request) > 0) {
		if (request.out + request.in > VIRTIO_QUEUE_MAX)
			abort();
		if (virtio_copy(dev, &d->virtio, &request, false, 3, bytes, sizeof(bytes)) >
		    (int64_t)sizeof(bytes))
			abort();
		virtio_copy(dev, &d->virtio, &request, true, request.in_bytes / 2, bytes,
			    sizeof(bytes));
		if (virtio_push(dev, &d->virtio, queue, &request, (uint32_t)request.in_bytes))
			break;
	}
	return 0;
}

static const struct virtio_kind kind = { .id = 1, .queues = 2, .notify = notify };

static void
put(struct minivmm_device *dev, uint64_t offset, uint32_t width, uint64_t value)
{
	const struct minivmm_access access = { .offset = offset, .width = width };

	virtio_write(dev, &access, value);
}

/* As a driver that means well begins. */
static void
begin(struct minivmm_device *dev, uint32_t features)
{
	put(dev, VIRTIO_STATUS, 4, 3);
	put(dev, VIRTIO_DRIVER_FEATURES, 4, features & VIRTIO_FEATURES);
	put(dev, VIRTIO_DRIVER_FEATURES_SEL, 4, 1);
	put(dev, VIRTIO_DRIVER_FEATURES, 4, 1);
	put(dev, VIRTIO_STATUS, 4, 11);
	for (uint32_t queue = 0; queue < 2; queue++) {
		put(dev, VIRTIO_QUEUE_SEL, 4, queue);
		put(dev, VIRTIO_QUEUE_NUM, 4, 8);
		put(dev, VIRTIO_QUEUE_DRIVER_LOW, 4, 0x400 + queue * 0x100);
		put(dev, VIRTIO_QUEUE_DEVICE_LOW, 4, 0x800 + queue * 0x100);
		put(dev, VIRTIO_QUEUE_READY, 4, 1);
	}
	put(dev, VIRTIO_STATUS, 4, 15);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct minivmm_services services = { .size = sizeof(services),
						   .log = say,
						   .irq = set_line,
						   .post = post,
						   .memory_read = memory_read,
						   .memory_write = memory_write };
	static const uint32_t widths[] = { 1, 2, 4, 8 };
	struct driver *d = calloc(1, sizeof(*d));
	struct minivmm_device dev = { .services = &services, .state = d, .name = "virtio" };
	size_t records = size < 2 ? 0 : data[0] % 32 * RECORD;

	if (!d)
		abort();
	d->virtio.kind = &kind;
	if (size < 2 + records) {
		free(d);
		return 0;
	}
	if (data[1] & 1)
		begin(&dev, data[1] & 2 ? UINT32_MAX : 0);
	memcpy(d->memory, data + 2 + records,
	       size - 2 - records < MEMORY ? size - 2 - records : MEMORY);
	put(&dev, VIRTIO_QUEUE_NOTIFY, 4, 0);
	for (const uint8_t *r = data + 2; r < data + 2 + records; r += RECORD) {
		struct minivmm_access access = { .width = widths[r[0] >> 1 & 3] };
		uint64_t value = 0;

		memcpy(&access.offset, r + 1, 2);
		memcpy(&value, r + 3, 5);
		access.offset %= VIRTIO_LENGTH - access.width + 1;
		if (r[0] & 8) /* the driver writes memory meanwhile */
			memory_write(&dev, access.offset * 4, &value, access.width);
		else if (r[0] & 1)
			virtio_write(&dev, &access, value);
		else
			virtio_read(&dev, &access, &value);
		put(&dev, VIRTIO_QUEUE_NOTIFY, 4, r[0] >> 4 & 1);
		if (virtio_loaded(&dev))
			abort(); /* the device has come into a state that could not be loaded again */
	}
	free(d);
	return 0;
}
