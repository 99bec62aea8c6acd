/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sockets between the guest and the host (virtio 1.2, section 5.10), of streams. The host's are
 * unix sockets: a guest that connects to the host's port N reaches who listens on PATH_N; who
 * connects to PATH and sends "CONNECT N\n" reaches the guest's port N, and reads "OK M\n" first,
 * where M is the port that the guest sees.
 *
 * A snapshot holds no connection. A restored machine's driver is told that all are gone
 * (section 5.10.6.7); should it use one nevertheless, that is reset.
 */
#include <minivmm/plugin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "../common/queue.h"
#include "connection.h"

#define HOST_CID 2u
#define STREAM 1u
#define PART 4096u    /* bytes that are copied at once */
#define PACKET 65536u /* bytes of data in a packet to the guest */
#define RESETS 64u    /* packets for connections that there are not, answered with a reset */
#define EVENT_TRANSPORT_RESET 0u

enum { RECEIVE, TRANSMIT, EVENT }; /* queues */

enum vsock_op {
	REQUEST = 1,
	RESPONSE,
	RST,
	SHUTDOWN,
	RW,
	CREDIT_UPDATE,
	CREDIT_REQUEST,
};

struct vsock_header {
	uint64_t from_cid, to_cid;
	uint32_t from_port, to_port, length;
	uint16_t type, op;
	uint32_t flags, room, taken;
} __attribute__((packed));

struct vsock {
	struct virtio virtio;
	uint64_t cid; /* options */
	const char *path;
	struct vsock_host *host;
	bool gone; /* connections are, and the driver has yet to be told; every restore begins so */
	/* state */
	uint32_t port; /* the last of the host's that was given out */
	uint32_t reset_count, reset_hosts[RESETS], reset_guests[RESETS];
};

/* What a packet to the guest says of a connection: its op, and flags or how much data. */
struct vsock_packet {
	enum vsock_op op;
	uint32_t flags, length;
};

static struct vsock_header
vsock_to(const struct vsock *s, uint32_t host_port, uint32_t guest_port, struct vsock_packet p)
{
	return (struct vsock_header){
		.from_cid = HOST_CID,
		.to_cid = s->cid,
		.from_port = host_port,
		.to_port = guest_port,
		.length = p.length,
		.type = STREAM,
		.op = (uint16_t)p.op,
		.flags = p.flags,
		.room = VSOCK_BUFFER,
	};
}

/* A buffer of the driver's for a packet. 1; 0: there is none; -1: it has lost its device. */
static int
vsock_pop(struct minivmm_device *dev, struct virtio_request *request)
{
	struct vsock *s = minivmm_state(dev);
	int r = virtio_pop(dev, &s->virtio, RECEIVE, request);

	if (r > 0 && request->in_bytes < sizeof(struct vsock_header))
		return virtio_bad(dev, &s->virtio, "a buffer with no room for a packet");
	return r;
}

static int
vsock_push(struct minivmm_device *dev, const struct virtio_request *request,
	   struct vsock_header header)
{
	struct vsock *s = minivmm_state(dev);

	if (virtio_copy(dev, &s->virtio, request, true, 0, &header, sizeof(header)) < 0)
		return -1;
	return virtio_push(dev, &s->virtio, RECEIVE, request,
			   (uint32_t)sizeof(header) + header.length);
}

/* Resets of what there is not. 0; else no more packets can be sent now. */
static int
vsock_send_resets(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);
	struct virtio_request request;
	const struct vsock_packet packet = { .op = RST };

	while (s->reset_count) {
		uint32_t host = s->reset_hosts[0], guest = s->reset_guests[0];

		if (vsock_pop(dev, &request) <= 0)
			return -1;
		s->reset_count--;
		memmove(s->reset_hosts, s->reset_hosts + 1, s->reset_count * sizeof(uint32_t));
		memmove(s->reset_guests, s->reset_guests + 1, s->reset_count * sizeof(uint32_t));
		if (vsock_push(dev, &request, vsock_to(s, host, guest, packet)))
			return -1;
	}
	return 0;
}

/* Is there something to tell, or to send? */
static bool
vsock_wants(const struct vsock_connection *c)
{
	if (c->state < VSOCK_CALLS)
		return false;
	return c->reset || (c->state == VSOCK_CALLS && !c->asked) || c->state == VSOCK_ANSWERS ||
	       c->credit || vsock_may_send(c) || vsock_shuts(c);
}

/* Reads from the socket into the request, behind its header. How much; -1: memory that is none. */
static int64_t
vsock_read(struct minivmm_device *dev, struct vsock_connection *c,
	   const struct virtio_request *request)
{
	struct vsock *s = minivmm_state(dev);
	uint64_t room = request->in_bytes - sizeof(struct vsock_header), done = 0;
	uint8_t bytes[PART];

	room = room < PACKET ? room : PACKET;
	while (done < room) {
		uint64_t most = room - done < PART ? room - done : PART;
		uint32_t may = vsock_may_send(c), n;

		n = may ? vsock_take(c, bytes, may < most ? may : (uint32_t)most) : 0;
		if (!n)
			break;
		if (virtio_copy(dev, &s->virtio, request, true, sizeof(struct vsock_header) + done,
				bytes, n) < 0)
			return -1;
		done += n;
	}
	return (int64_t)done;
}

/* The next packet of a connection into a request. 1; 0: there was nothing after all; -1: as
 * virtio_pop. */
static int
vsock_next(struct minivmm_device *dev, struct vsock_connection *c,
	   const struct virtio_request *request, struct vsock_packet *packet)
{
	*packet = (struct vsock_packet){ .op = RST };
	if (c->reset)
		return 1;
	if (c->state == VSOCK_CALLS && !c->asked) {
		packet->op = REQUEST;
		c->asked = true;
		return 1;
	}
	if (c->state == VSOCK_ANSWERS) {
		packet->op = RESPONSE;
		c->state = VSOCK_OPEN;
		return 1;
	}
	if (vsock_may_send(c)) {
		int64_t n = vsock_read(dev, c, request);

		if (n < 0)
			return -1;
		packet->op = RW;
		packet->length = (uint32_t)n;
		if (n)
			return 1;
		if (c->reset) {
			packet->op = RST;
			return 1;
		}
	}
	packet->flags = vsock_shuts(c);
	packet->op = packet->flags ? SHUTDOWN : CREDIT_UPDATE;
	c->told |= (uint8_t)packet->flags;
	return packet->flags || c->credit;
}

/* A packet of this connection's. 0; else no more can be sent now. */
static int
vsock_send(struct minivmm_device *dev, struct vsock_connection *c)
{
	struct vsock *s = minivmm_state(dev);
	struct virtio_request request;
	struct vsock_packet packet;
	struct vsock_header header;
	int r;

	if (vsock_pop(dev, &request) <= 0)
		return -1;
	r = vsock_next(dev, c, &request, &packet);
	if (r < 0)
		return -1;
	if (!r) {
		virtio_unpop(&s->virtio, RECEIVE);
		return 0;
	}
	header = vsock_to(s, c->host_port, c->guest_port, packet);
	header.taken = c->told_forwarded = c->forwarded;
	c->credit = false;
	if (packet.op == RST)
		vsock_drop(s->host, c);
	return vsock_push(dev, &request, header);
}

/* A packet of each connection in turn, until all have said everything or the driver has no room. */
static void
vsock_receive(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);
	bool more = true;

	if (!virtio_live(&s->virtio, RECEIVE) || vsock_send_resets(dev))
		return;
	while (more) {
		more = false;
		for (uint32_t i = 0; i < s->host->used; i++) {
			struct vsock_connection *c = &s->host->connections[i];

			if (!vsock_wants(c))
				continue;
			if (vsock_send(dev, c))
				return;
			more = true;
		}
	}
}

/* Data of the guest's, from behind the header. */
static int
vsock_data(struct minivmm_device *dev, struct vsock_connection *c,
	   const struct virtio_request *request, uint32_t length)
{
	struct vsock *s = minivmm_state(dev);
	uint8_t bytes[PART];

	for (uint32_t done = 0; done < length;) {
		uint32_t part = length - done < PART ? length - done : PART;
		int64_t n = virtio_copy(dev, &s->virtio, request, false,
					sizeof(struct vsock_header) + done, bytes, part);

		if (n < (int64_t)part)
			return -1;
		vsock_forward(c, bytes, part);
		done += part;
	}
	return 0;
}

/* There is room for one, else no packet would have been taken. */
static void
vsock_refuse(struct vsock *s, const struct vsock_header *h)
{
	s->reset_hosts[s->reset_count] = h->to_port;
	s->reset_guests[s->reset_count] = h->from_port;
	s->reset_count++;
}

/* A packet for a connection that there is. */
static int
vsock_handle(struct minivmm_device *dev, struct vsock_connection *c, const struct vsock_header *h,
	     const struct virtio_request *request)
{
	struct vsock *s = minivmm_state(dev);

	c->room = h->room;
	c->taken = h->taken;
	if (h->op == RST) {
		vsock_drop(s->host, c);
		return 0;
	}
	if (h->op == RESPONSE && c->state == VSOCK_CALLS && c->asked)
		vsock_answered(c);
	else if (h->op == SHUTDOWN)
		vsock_shut(c, (uint8_t)h->flags);
	else if (h->op == RW && c->state == VSOCK_OPEN)
		return vsock_data(dev, c, request, h->length);
	else if (h->op == CREDIT_REQUEST)
		c->credit = true;
	else if (h->op != CREDIT_UPDATE)
		c->reset = true;
	return 0;
}

/* One packet of the guest's. -1: the driver has lost its device. */
static int
vsock_packet(struct minivmm_device *dev, const struct virtio_request *request)
{
	struct vsock *s = minivmm_state(dev);
	struct vsock_connection *c;
	struct vsock_header h;

	if (virtio_copy(dev, &s->virtio, request, false, 0, &h, sizeof(h)) < (int64_t)sizeof(h) ||
	    h.length > request->out_bytes - sizeof(h))
		return virtio_bad(dev, &s->virtio, "a packet that is cut short");
	if (h.from_cid != s->cid || h.to_cid != HOST_CID)
		return 0; /* for nobody that is reached from here */
	c = vsock_find(s->host, h.to_port, h.from_port);
	if (c && h.type == STREAM)
		return vsock_handle(dev, c, &h, request);
	if (!c && h.type == STREAM && h.op == REQUEST)
		c = vsock_call(s->host, h.to_port, h.from_port);
	if (c && h.type == STREAM) {
		c->room = h.room;
		c->taken = h.taken;
	} else if (h.op != RST)
		vsock_refuse(s, &h);
	return 0;
}

/* All packets that the guest has sent, as long as they can be answered. */
static void
vsock_transmit(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);
	struct virtio_request request;

	while (s->reset_count < RESETS && virtio_pop(dev, &s->virtio, TRANSMIT, &request) > 0)
		if (vsock_packet(dev, &request) ||
		    virtio_push(dev, &s->virtio, TRANSMIT, &request, 0))
			break;
}

/* The driver of a restored machine learns that its connections are gone. */
static void
vsock_event(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);
	const uint32_t event = EVENT_TRANSPORT_RESET;
	struct virtio_request request;
	bool pending = s->virtio.pending[EVENT];
	int r = s->gone ? virtio_pop(dev, &s->virtio, EVENT, &request) : 0;

	s->virtio.pending[EVENT] = pending; /* a machine that was not restored has not looked */
	if (r <= 0)
		return;
	s->gone = false;
	if (virtio_copy(dev, &s->virtio, &request, true, 0, (void *)&event, sizeof(event)) >= 0)
		virtio_push(dev, &s->virtio, EVENT, &request, sizeof(event));
}

/* Whatever there is to do, both ways: what is received may make room for an answer to what is
 * sent. */
static int
vsock_go(struct minivmm_device *dev)
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
	return vsock_go(dev);
}

static int
vsock_ready(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	struct vsock *s = minivmm_state(dev);

	vsock_host_events(s->host, &s->port);
	s->virtio.budget = VIRTIO_BUDGET;
	return vsock_go(dev);
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

	vsock_host_drop_all(s->host);
	s->gone = false;
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
		minivmm_error(dev, "no memory for its connections");
		return -1;
	}
	s->host->path = s->path;
	s->host->listener = s->host->epoll = -1;
	return 0;
}

static int
vsock_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct vsock *s = minivmm_state(dev);

	s->gone = start->reason != MINIVMM_FRESH;
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
	MINIVMM_OPTION(struct vsock, cid, "3", "the guest's address (CID)", .min = 3,
		       .max = UINT32_MAX - 1),
	MINIVMM_OPTION_AS(
	    PATH, struct vsock, path, "",
	    "unix socket to reach the guest; the guest's connections to port N go to PATH_N"),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = { VIRTIO_RANGE, MINIVMM_END };

static const struct minivmm_watch watches[] = {
	{ .name = "sockets", .ready = vsock_ready, .help = "the host's sockets" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	VIRTIO_FIELDS(struct vsock),
	MINIVMM_FIELD(struct vsock, port, .help = "the last port of the host that was assigned"),
	MINIVMM_FIELD_COUNTED(struct vsock, reset_hosts, reset_count,
			      .help = "resets to send: ports of the host"),
	MINIVMM_FIELD_COUNTED(struct vsock, reset_guests, reset_count,
			      .help = "resets to send: ports of the guest"),
	MINIVMM_END,
};

static const struct minivmm_plugin vsock = {
	.name = "virtio-vsock",
	.summary = "virtio sockets between the guest and unix sockets of the host",
	.state_version = VIRTIO_STATE,
	.state_size = sizeof(struct vsock),
	.options = options,
	.ranges = ranges,
	.watches = watches,
	.posts = virtio_posts,
	.fields = fields,
	.configure = vsock_configure,
	.start = vsock_start,
	.stop = vsock_stop,
	.destroy = vsock_destroy,
	.loaded = virtio_loaded,
	.acpi = virtio_acpi,
};
MINIVMM_REGISTER(vsock);
