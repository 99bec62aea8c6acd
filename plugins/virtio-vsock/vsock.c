/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stream sockets between the guest and the host (virtio 1.2, section 5.10). On the host they are
 * unix sockets. A guest that connects to port N of the host reaches the listener on PATH_N. A
 * process that connects to PATH and sends "CONNECT N\n" reaches port N of the guest. It reads "OK
 * M\n" first, where M is its port as the guest sees it. "minivmm ctl SOCKET connect" passes a
 * socket that reaches port N at once.
 *
 * A snapshot contains no connection. After a restore, the driver gets a transport reset event
 * (section 5.10.6.7). If it uses an old connection anyway, that is reset.
 */
#include <errno.h>
#include <minivmm/plugin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "vsock.h"

#define EVENT_TRANSPORT_RESET 0u

/* After a restore, sends the transport reset event. */
static void
vsock_event(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);
	const uint32_t event = EVENT_TRANSPORT_RESET;
	struct virtio_request request;
	bool pending = s->virtio.pending[EVENT];
	int r = s->transport_reset ? virtio_pop(dev, &s->virtio, EVENT, &request) : 0;

	s->virtio.pending[EVENT] = pending; /* as in a machine that was not restored */
	if (r <= 0)
		return;
	s->transport_reset = false;
	if (virtio_copy(dev, &s->virtio, &request, true, 0, (void *)&event, sizeof(event)) >= 0)
		virtio_push(dev, &s->virtio, EVENT, &request, sizeof(event));
}

/* Processes both directions. Sending frees room for RST answers, so that more of the guest's
 * packets can be processed. */
static int
vsock_process(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);
	uint32_t full;

	vsock_event(dev);
	do {
		vsock_transmit(dev);
		full = s->reset_count == RESETS;
		vsock_receive(dev);
	} while (full && s->reset_count < RESETS);
	return 0;
}

static int
vsock_notify(struct minivmm_device *dev, uint32_t queue)
{
	return vsock_process(dev);
}

static int
vsock_ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	struct vsock *s = minivmm_state(dev);

	vsock_host_events(s->host, &s->port);
	s->virtio.budget = VIRTIO_BUDGET;
	return vsock_process(dev);
}

static int
vsock_take(struct minivmm_device *dev, const struct minivmm_connect *connect)
{
	struct vsock *s = minivmm_state(dev);

	if (connect->port > UINT32_MAX) {
		minivmm_connected(dev, connect->id, "the largest port is 4294967295");
		close(connect->fd);
		return MINIVMM_PENDING;
	}
	if (vsock_join(s->host, connect->fd, (uint32_t)connect->port, connect->id, &s->port))
		return -1;
	s->virtio.budget = VIRTIO_BUDGET;
	vsock_process(dev);
	return MINIVMM_PENDING;
}

static void
vsock_config(struct minivmm_device *dev, uint8_t *config)
{
	memcpy(config, &((const struct vsock *)minivmm_state(dev))->cid, 8);
}

static void
vsock_reset(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);

	vsock_host_reset(s->host);
	s->transport_reset = false;
	s->reset_count = 0;
}

static const struct virtio_kind kind = {
	.id = 19,
	.queues = 3,
	.notify = vsock_notify,
	.config = vsock_config,
	.reset = vsock_reset,
};

static int
vsock_configure(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);

	s->virtio.kind = &kind;
	s->host = calloc(1, sizeof(*s->host));
	if (!s->host) {
		minivmm_error(dev, "no memory for connections: %s",
			      minivmm_error_text(dev, MINIVMM_CALL_OTHER, ENOMEM).text);
		return -1;
	}
	s->host->path = s->path;
	s->host->listener = s->host->accept_again = s->host->epoll = -1;
	return 0;
}

static int
vsock_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct vsock *s = minivmm_state(dev);

	s->transport_reset = start->reason != MINIVMM_FRESH;
	if (start->reason == MINIVMM_RESET)
		vsock_host_drop_all(s->host);
	else if (vsock_host_open(dev, s->host) || minivmm_watch(dev, 0, s->host->epoll, EPOLLIN))
		return -1;
	return virtio_process_pending(dev, 0);
}

static int
vsock_stop(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);

	minivmm_watch(dev, 0, -1, 0);
	vsock_host_close(s->host);
	return 0;
}

static void
vsock_destroy(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);

	if (s->host)
		vsock_host_close(s->host);
	free(s->host);
}

static const struct minivmm_option options[] = {
	VIRTIO_OPTIONS(struct vsock),
	MINIVMM_OPTION(struct vsock, cid, "3", "the guest's context ID (CID)", .min = 3,
		       .max = UINT32_MAX - 1),
	MINIVMM_OPTION_AS(PATH, struct vsock, path, "",
			  "unix socket for connections to the guest; connections of the guest to "
			  "port N go to PATH_N"),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = { VIRTIO_RANGES, MINIVMM_END };
static const struct minivmm_pci pci[] = { VIRTIO_PCI(struct vsock, 19, 0x028000, 3), MINIVMM_END };

static const struct minivmm_watch watches[] = {
	{ .name = "sockets", .ready = vsock_ready, .help = "the host's sockets" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	VIRTIO_FIELDS(struct vsock),
	MINIVMM_FIELD(struct vsock, port, .help = "the last port of the host that was assigned"),
	MINIVMM_FIELD_COUNTED(struct vsock, reset_hosts, reset_count,
			      .help = "RST packets to send: ports of the host"),
	MINIVMM_FIELD_COUNTED(struct vsock, reset_guests, reset_count,
			      .help = "RST packets to send: ports of the guest"),
	MINIVMM_END,
};

static const struct minivmm_plugin vsock = {
	.name = "virtio-vsock",
	.summary = "virtio sockets between the guest and unix sockets of the host",
	.state_version = VIRTIO_STATE,
	.state_size = sizeof(struct vsock),
	.options = options,
	.ranges = ranges,
	.pci = pci,
	.watches = watches,
	.posts = virtio_posts,
	.fields = fields,
	.configure = vsock_configure,
	.start = vsock_start,
	.stop = vsock_stop,
	.destroy = vsock_destroy,
	.loaded = virtio_loaded,
	.acpi = virtio_acpi,
	.connect = vsock_take,
};
MINIVMM_REGISTER(vsock, MINIVMM_HAS_PCI);
