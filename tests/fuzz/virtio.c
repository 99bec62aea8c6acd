/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the code that virtio devices share, as a hostile driver. A device that takes every request
 * and fills its buffers represents all of them.
 */
#include "driver.h"

/* Deferred work is dropped. */
static void
post(struct minivmm_device *dev, uint32_t row)
{
}

static int
notify(struct minivmm_device *dev, uint32_t queue)
{
	struct virtio *v = minivmm_state(dev);
	struct virtio_request request;
	uint8_t bytes[512];

	while (virtio_pop(dev, v, queue, &request) > 0) {
		if (request.out + request.in > VIRTIO_QUEUE_MAX)
			abort();
		if (virtio_copy(dev, v, &request, false, 3, bytes, sizeof(bytes)) >
		    (int64_t)sizeof(bytes))
			abort();
		virtio_copy(dev, v, &request, true, request.in_bytes / 2, bytes, sizeof(bytes));
		if (virtio_push(dev, v, queue, &request, (uint32_t)request.in_bytes))
			break;
	}
	return 0;
}

static const struct virtio_kind kind = { .id = 1, .queues = 2, .notify = notify };

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct minivmm_services services = { DRIVER_SERVICES, .post = post };
	struct virtio v = { .kind = &kind };
	struct minivmm_device dev = { .services = &services, .state = &v, .name = "virtio" };
	struct driver_input input;

	if (!driver_input(data, size, &input))
		return 0;
	driver_begin(&dev, &input, 0);
	for (const uint8_t *r = input.records; r < input.end; r += DRIVER_RECORD)
		driver_play(&dev, r);
	return 0;
}
