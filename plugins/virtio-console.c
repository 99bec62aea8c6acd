/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A console with one port (virtio 1.2, section 5.3): Linux's hvc0. Input stays in the stream until
 * the driver provides a buffer. A transmit request for which the stream has no room stays in the
 * queue and continues later.
 */
#include <minivmm/plugin.h>

#include "common/queue.h"

#define PART 1024u
#define REQUEST_MAX (1u << 20) /* bytes; drivers send lines or pages */

enum { RECEIVE, TRANSMIT }; /* queues */

struct console {
	struct virtio virtio;
	uint64_t sent; /* bytes of the first transmit request that are already sent */
};

static int
console_receive(struct minivmm_device *dev)
{
	struct console *c = minivmm_state(dev);
	struct virtio_request request;
	uint8_t bytes[PART];

	while (minivmm_stream_readable(dev, 0) &&
	       virtio_pop(dev, &c->virtio, RECEIVE, &request) > 0) {
		size_t room = request.in_bytes < PART ? (size_t)request.in_bytes : PART;
		size_t n = minivmm_stream_read(dev, 0, bytes, room);

		if (virtio_copy(dev, &c->virtio, &request, true, 0, bytes, n) < 0 ||
		    virtio_push(dev, &c->virtio, RECEIVE, &request, (uint32_t)n))
			break;
	}
	return 0;
}

/* Continues one transmit request. Returns false if the stream is full or after virtio_broken(). */
static bool
console_put(struct minivmm_device *dev, const struct virtio_request *request)
{
	struct console *c = minivmm_state(dev);
	uint8_t bytes[PART];

	while (c->sent < request->out_bytes) {
		int64_t n = virtio_copy(dev, &c->virtio, request, false, c->sent, bytes, PART);
		size_t taken;

		if (n <= 0)
			return false;
		taken = minivmm_stream_write(dev, 0, bytes, (size_t)n);
		c->sent += taken;
		if (taken < (size_t)n)
			return false;
	}
	return true;
}

static int
console_transmit(struct minivmm_device *dev)
{
	struct console *c = minivmm_state(dev);
	struct virtio_request request;

	while (virtio_pop(dev, &c->virtio, TRANSMIT, &request) > 0) {
		if (request.out_bytes > REQUEST_MAX) {
			virtio_broken(dev, &c->virtio, "a transmit request has more than 1 MiB");
			break;
		}
		if (!console_put(dev, &request)) {
			virtio_unpop(&c->virtio, TRANSMIT);
			break;
		}
		c->sent = 0;
		if (virtio_push(dev, &c->virtio, TRANSMIT, &request, 0))
			break;
	}
	return 0;
}

static int
console_notify(struct minivmm_device *dev, uint32_t queue)
{
	return queue == RECEIVE ? console_receive(dev) : console_transmit(dev);
}

static void
console_reset(struct minivmm_device *dev)
{
	((struct console *)minivmm_state(dev))->sent = 0;
}

static const struct virtio_kind kind = {
	.id = 3, .queues = 2, .notify = console_notify, .reset = console_reset
};

static int
console_stream_ready(struct minivmm_device *dev, uint32_t stream)
{
	return virtio_process_pending(dev, 0);
}

static int
console_configure(struct minivmm_device *dev)
{
	((struct console *)minivmm_state(dev))->virtio.kind = &kind;
	return 0;
}

/* After a restore, the stream may have room or input without an event. */
static int
console_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	return virtio_process_pending(dev, 0);
}

static const struct minivmm_option options[] = { VIRTIO_OPTIONS(struct console), MINIVMM_END };
static const struct minivmm_range ranges[] = { VIRTIO_RANGES, MINIVMM_END };
static const struct minivmm_pci pci[] = { VIRTIO_PCI(struct console, 3, 0x078000, 2), MINIVMM_END };

static const struct minivmm_stream streams[] = {
	{ .name = "line",
	  .output = "output",
	  .input = "input",
	  .readable = console_stream_ready,
	  .writable = console_stream_ready,
	  .help = "the terminal" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	VIRTIO_FIELDS(struct console),
	MINIVMM_FIELD(struct console, sent,
		      .help = "bytes of the first transmit request that are sent"),
	MINIVMM_END,
};

static const struct minivmm_plugin console = {
	.name = "virtio-console",
	.summary = "a virtio console with one port",
	.state_version = VIRTIO_STATE,
	.state_size = sizeof(struct console),
	.options = options,
	.ranges = ranges,
	.pci = pci,
	.posts = virtio_posts,
	.streams = streams,
	.fields = fields,
	.configure = console_configure,
	.start = console_start,
	.loaded = virtio_loaded,
	.acpi = virtio_acpi,
};
MINIVMM_REGISTER(console, MINIVMM_HAS_PCI);
