/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An entropy device (virtio 1.2, section 5.4). By default, its bytes come from the machine's random
 * generator. A snapshot contains that generator's state, so a restored machine gets the same bytes
 * again. With fresh = yes, they come from the host.
 */
#include <minivmm/plugin.h>
#include <sys/random.h>

#include "common/queue.h"

#define PART 256u /* bytes per call; getrandom() returns up to 256 without interruption */
#define REQUEST_MAX 65536u

struct rng {
	struct virtio virtio;
	bool fresh; /* bytes come from the host */
};

static int
rng_fill(struct minivmm_device *dev, uint8_t *bytes, size_t length)
{
	const struct rng *r = minivmm_state(dev);

	if (!r->fresh) {
		minivmm_random(dev, bytes, length);
		return 0;
	}
	return getrandom(bytes, length, 0) == (ssize_t)length ? 0 : -1;
}

static int
rng_notify(struct minivmm_device *dev, uint32_t queue)
{
	struct rng *r = minivmm_state(dev);
	struct virtio_request request;
	uint8_t bytes[PART];

	while (virtio_pop(dev, &r->virtio, queue, &request) > 0) {
		uint64_t wanted = request.in_bytes < REQUEST_MAX ? request.in_bytes : REQUEST_MAX,
			 done = 0;

		while (done < wanted) {
			uint64_t part = wanted - done < PART ? wanted - done : PART;

			if (rng_fill(dev, bytes, part) ||
			    virtio_copy(dev, &r->virtio, &request, true, done, bytes, part) < 0)
				break;
			done += part;
		}
		if (virtio_push(dev, &r->virtio, queue, &request, (uint32_t)done))
			break;
	}
	return 0;
}

static const struct virtio_kind kind = { .id = 4, .queues = 1, .notify = rng_notify };

static int
rng_configure(struct minivmm_device *dev)
{
	((struct rng *)minivmm_state(dev))->virtio.kind = &kind;
	return 0;
}

static int
rng_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	return virtio_process_pending(dev, 0);
}

static const struct minivmm_option options[] = {
	VIRTIO_OPTIONS(struct rng),
	MINIVMM_OPTION(struct rng, fresh, "no",
		       "whether bytes come from the host, not from the machine's generator"),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = { VIRTIO_RANGES, MINIVMM_END };
static const struct minivmm_pci pci[] = { VIRTIO_PCI(struct rng, 4, 0x00ff00, 1), MINIVMM_END };
static const struct minivmm_field fields[] = { VIRTIO_FIELDS(struct rng), MINIVMM_END };

static const struct minivmm_plugin rng = {
	.name = "virtio-rng",
	.summary = "a virtio entropy device",
	.state_version = VIRTIO_STATE,
	.state_size = sizeof(struct rng),
	.options = options,
	.ranges = ranges,
	.pci = pci,
	.posts = virtio_posts,
	.fields = fields,
	.configure = rng_configure,
	.start = rng_start,
	.loaded = virtio_loaded,
	.acpi = virtio_acpi,
};
MINIVMM_REGISTER(rng, MINIVMM_HAS_PCI);
