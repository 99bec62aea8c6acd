/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packets between the device and its driver (virtio 1.2, section 5.10.6): those of the guest go
 * to its connections, and each connection's next packet goes to the guest.
 */
#include <string.h>

#include "vsock.h"

#define HOST_CID 2u
#define STREAM 1u
#define PART 4096u    /* bytes copied at once */
#define PACKET 65536u /* maximum data of a packet to the guest, in bytes */

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
	uint32_t flags, buf_alloc, fwd_cnt;
} __attribute__((packed));

/* The parts of a packet to the guest that depend on its op. */
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
		.buf_alloc = VSOCK_BUFFER,
	};
}

/* Takes a receive buffer of the driver. Returns 1; 0: there is none; -1: after virtio_broken(). */
static int
vsock_pop(struct minivmm_device *dev, struct virtio_request *request)
{
	struct vsock *s = minivmm_state(dev);
	int r = virtio_pop(dev, &s->virtio, RECEIVE, request);

	if (r > 0 && request->in_bytes < sizeof(struct vsock_header))
		return virtio_bad(dev, &s->virtio,
				  "a receive buffer has no room for a packet header");
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

/* Sends the waiting RST packets. Returns 0 when all are sent; else no more can be sent now. */
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

/* Returns whether the connection has a packet to send. */
static bool
vsock_has_packet(const struct vsock_connection *c)
{
	if (c->state < VSOCK_REQUESTING)
		return false;
	return c->reset || (c->state == VSOCK_REQUESTING && !c->request_sent) ||
	       c->state == VSOCK_RESPONDING || c->credit || vsock_may_send(c) ||
	       vsock_shutdown_due(c);
}

/* Reads from the socket into the request, after the header. Returns the number of bytes; -1: after
 * virtio_broken(). */
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

		n = may ? vsock_read_socket(c, bytes, may < most ? may : (uint32_t)most) : 0;
		if (!n)
			break;
		if (virtio_copy(dev, &s->virtio, request, true, sizeof(struct vsock_header) + done,
				bytes, n) < 0)
			return -1;
		done += n;
	}
	return (int64_t)done;
}

/* Prepares the next packet of a connection, with its data in the request. Returns 1; 0: there is
 * none, or it has data and the request has no room for any; -1: after virtio_broken(). */
static int
vsock_next(struct minivmm_device *dev, struct vsock_connection *c,
	   const struct virtio_request *request, struct vsock_packet *packet)
{
	*packet = (struct vsock_packet){ .op = RST };
	if (c->reset)
		return 1;
	if (c->state == VSOCK_REQUESTING && !c->request_sent) {
		packet->op = REQUEST;
		c->request_sent = true;
		return 1;
	}
	if (c->state == VSOCK_RESPONDING) {
		packet->op = RESPONSE;
		c->state = VSOCK_OPEN;
		return 1;
	}
	if (vsock_may_send(c) && request->in_bytes > sizeof(struct vsock_header)) {
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
	packet->flags = vsock_shutdown_due(c);
	packet->op = packet->flags ? SHUTDOWN : CREDIT_UPDATE;
	c->shutdown_sent |= (uint8_t)packet->flags;
	return packet->flags || c->credit;
}

/* Sends a packet of the connection. Returns 1; 0: it has none for the driver's next buffer; -1: no
 * more can be sent now. */
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
	header.fwd_cnt = c->fwd_cnt_sent = c->fwd_cnt;
	c->credit = false;
	if (packet.op == RST)
		vsock_drop(s->host, c);
	return vsock_push(dev, &request, header) ? -1 : 1;
}

/* Sends a packet of each connection in turn. */
void
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

			int sent = vsock_has_packet(c) ? vsock_send(dev, c) : 0;

			if (sent < 0)
				return;
			more |= sent;
		}
	}
}

/* Forwards the data of a packet to the socket. */
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

/* Queues a RST. There is room: vsock_transmit() takes no packet otherwise. */
static void
vsock_queue_reset(struct vsock *s, const struct vsock_header *h)
{
	s->reset_hosts[s->reset_count] = h->to_port;
	s->reset_guests[s->reset_count] = h->from_port;
	s->reset_count++;
}

/* Processes a packet of an existing connection. */
static int
vsock_handle(struct minivmm_device *dev, struct vsock_connection *c, const struct vsock_header *h,
	     const struct virtio_request *request)
{
	struct vsock *s = minivmm_state(dev);

	c->peer_buf_alloc = h->buf_alloc;
	c->peer_fwd_cnt = h->fwd_cnt;
	if (h->op == RST) {
		vsock_refused(s->host, c);
		return 0;
	}
	if (h->op == RESPONSE && c->state == VSOCK_REQUESTING && c->request_sent)
		vsock_established(s->host, c);
	else if (h->op == SHUTDOWN)
		vsock_shutdown(c, (uint8_t)h->flags);
	else if (h->op == RW && c->state == VSOCK_OPEN)
		return vsock_data(dev, c, request, h->length);
	else if (h->op == CREDIT_REQUEST)
		c->credit = true;
	else if (h->op != CREDIT_UPDATE)
		c->reset = true;
	return 0;
}

/* Processes a packet of the guest. Returns -1 after virtio_broken(). */
static int
vsock_packet(struct minivmm_device *dev, const struct virtio_request *request)
{
	struct vsock *s = minivmm_state(dev);
	struct vsock_connection *c;
	struct vsock_header h;

	if (virtio_copy(dev, &s->virtio, request, false, 0, &h, sizeof(h)) < (int64_t)sizeof(h) ||
	    h.length > request->out_bytes - sizeof(h))
		return virtio_bad(dev, &s->virtio, "a packet is shorter than its header says");
	if (h.from_cid != s->cid || h.to_cid != HOST_CID)
		return 0; /* the destination is not the host: drop it */
	c = vsock_find(s->host, h.to_port, h.from_port);
	if (c && h.type == STREAM)
		return vsock_handle(dev, c, &h, request);
	if (!c && h.type == STREAM && h.op == REQUEST)
		c = vsock_connect(s->host, h.to_port, h.from_port);
	if (c && h.type == STREAM) {
		c->peer_buf_alloc = h.buf_alloc;
		c->peer_fwd_cnt = h.fwd_cnt;
	} else if (h.op != RST)
		vsock_queue_reset(s, &h);
	return 0;
}

void
vsock_transmit(struct minivmm_device *dev)
{
	struct vsock *s = minivmm_state(dev);
	struct virtio_request request;

	while (s->reset_count < RESETS && virtio_pop(dev, &s->virtio, TRANSMIT, &request) > 0)
		if (vsock_packet(dev, &request) ||
		    virtio_push(dev, &s->virtio, TRANSMIT, &request, 0))
			break;
}
