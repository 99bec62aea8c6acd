/* SPDX-License-Identifier: BSD-2-Clause */
/* Packets between the card's queues and its back end: into buffers, into the queue of those that
 * wait, and out. */
#include <stdlib.h>
#include <string.h>

#include "card.h"

enum net_placed { PLACED, NO_BUFFER, LOST };

/* Takes back what has been taken of the queue for a packet that does not fit. */
static enum net_placed
net_unplace(struct virtio *v, uint32_t queue, uint16_t count, enum net_placed placed)
{
	while (count--)
		virtio_unpop(v, queue);
	return placed;
}

/* A packet into the driver's buffers: one, or with MRG_RXBUF as many as it takes, which the driver
 * sees at once: later. */
static enum net_placed
net_place(struct minivmm_device *dev, uint32_t pair, const uint8_t *packet, size_t length)
{
	struct net *n = minivmm_state(dev);
	struct virtio *v = &n->virtio;
	const uint32_t queue = 2 * pair + RECEIVE;
	struct virtio_request first, next;
	uint16_t count = 0;
	size_t done = 0;

	do { /* a packet has a header at least */
		struct virtio_request *r = count ? &next : &first;
		size_t part = length - done;
		int got;

		/* More than the driver could ever give? */
		if (count == (virtio_has(v, NET_F_MRG_RXBUF) ? v->size[queue] : 1))
			return net_unplace(v, queue, count, LOST);
		got = virtio_pop(dev, v, queue, r);
		if (got <= 0)
			return net_unplace(v, queue, count, got < 0 ? LOST : NO_BUFFER);
		if (r->out) {
			virtio_broken(dev, v, "a buffer to receive into with a part to read");
			return LOST;
		}
		if (!count && r->in_bytes < NET_HEADER) {
			virtio_broken(dev, v, "a buffer without room for a header");
			return LOST;
		}
		part = part < r->in_bytes ? part : (size_t)r->in_bytes;
		if (virtio_copy(dev, v, r, true, 0, (uint8_t *)packet + done, part) < 0 ||
		    virtio_put(dev, v, queue, r->head, (uint32_t)part,
			       (uint16_t)(n->placed[queue] + count)))
			return LOST;
		done += part;
		count++;
	} while (done < length);
	if (virtio_copy(dev, v, &first, true, NET_HEADER - 2, &count, 2) < 0) /* num_buffers */
		return LOST;
	n->placed[queue] += count;
	return PLACED;
}

void
net_show(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);

	for (uint32_t q = 0; q < 2 * n->queues; q++) {
		if (n->placed[q])
			virtio_publish(dev, &n->virtio, q, n->placed[q]);
		n->placed[q] = 0;
	}
}

/* Comes back when the limit lets more through. */
static void
net_later(struct minivmm_device *dev, uint64_t until)
{
	struct net *n = minivmm_state(dev);

	if (n->rate_due && n->rate_due <= until)
		return;
	n->rate_due = until;
	minivmm_timer_set(dev, NET_TIMER_RATE, until, 0);
}

/* The first packet that is to come: false if it must wait. */
static bool
net_deliver(struct minivmm_device *dev, uint32_t pair, const uint8_t *packet, size_t length)
{
	struct net *n = minivmm_state(dev);
	uint64_t now = minivmm_now(dev), until = rate_wait(&n->receiving, now);
	enum net_placed placed;

	if (pair >= n->pairs) { /* which the driver has given up */
		n->lost++;
		return true;
	}
	if (until) {
		net_later(dev, until);
		return false;
	}
	placed = net_place(dev, pair, packet, length);
	if (placed == NO_BUFFER)
		return false;
	if (placed == PLACED) {
		n->received++;
		rate_take(&n->receiving, now, length - NET_HEADER);
	} else {
		n->lost++;
	}
	return true;
}

static bool
net_wait(struct net *n, uint32_t pair, const uint8_t *packet, uint32_t length)
{
	const struct net_waiting head = { length, pair };

	if (!n->waiting)
		n->waiting = malloc(WAITING);
	if (!n->waiting || WAITING - n->waiting_used < sizeof(head) + length)
		return false;
	memcpy(n->waiting + n->waiting_used, &head, sizeof(head));
	memcpy(n->waiting + n->waiting_used + sizeof(head), packet, length);
	n->waiting_used += sizeof(head) + length;
	return true;
}

bool
net_wants(struct minivmm_device *dev)
{
	return !((const struct net *)minivmm_state(dev))->waiting_used;
}

void
net_receive(struct minivmm_device *dev, uint32_t pair, const uint8_t *packet, size_t length)
{
	struct net *n = minivmm_state(dev);

	if (pair >= n->pairs || !virtio_live(&n->virtio, 2 * pair + RECEIVE)) {
		n->lost++; /* nobody is there yet */
		return;
	}
	if (net_wants(dev) && net_deliver(dev, pair, packet, length))
		return;
	if (net_wants(dev))
		minivmm_post(dev, NET_POST_WATCH);
	if (!net_wait(n, pair, packet, (uint32_t)length))
		n->lost++;
}

void
net_drain(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);
	size_t at = 0;

	while (at < n->waiting_used) {
		struct net_waiting head;

		memcpy(&head, n->waiting + at, sizeof(head));
		if (!net_deliver(dev, head.pair, n->waiting + at + sizeof(head), head.length))
			break;
		at += sizeof(head) + head.length;
	}
	if (!at)
		return;
	n->waiting_used -= at;
	memmove(n->waiting, n->waiting + at, n->waiting_used);
	if (!n->waiting_used)
		minivmm_post(dev, NET_POST_WATCH);
}

static enum net_sent
net_send(struct minivmm_device *dev, uint32_t pair, const struct virtio_request *request)
{
	struct net *n = minivmm_state(dev);
	size_t length = (size_t)request->out_bytes;

	if (request->out_bytes < NET_HEADER + NET_FRAME_MIN ||
	    request->out_bytes > NET_PACKET_MAX || !n->back)
		return NET_DROPPED;
	if (virtio_copy(dev, &n->virtio, request, false, 0, n->packet, length) != (int64_t)length)
		return NET_DROPPED;
	return n->kind->send(n->back, pair, n->packet, length);
}

void
net_transmit(struct minivmm_device *dev, uint32_t pair)
{
	struct net *n = minivmm_state(dev);
	uint32_t queue = 2 * pair + TRANSMIT;
	struct virtio_request request;
	bool some = false;

	while (!n->full[pair]) {
		uint64_t now = minivmm_now(dev), until = rate_wait(&n->sending, now);
		enum net_sent sent;

		if (until) {
			net_later(dev, until);
			break;
		}
		if (virtio_pop(dev, &n->virtio, queue, &request) <= 0)
			break;
		sent = net_send(dev, pair, &request);
		if (sent == NET_FULL) {
			virtio_unpop(&n->virtio, queue);
			n->full[pair] = true;
			minivmm_post(dev, NET_POST_WATCH);
			break;
		}
		*(sent == NET_SENT ? &n->sent : &n->refused) += 1;
		rate_take(&n->sending, now,
			  request.out_bytes > NET_HEADER ? request.out_bytes - NET_HEADER : 0);
		some = true;
		if (virtio_put(dev, &n->virtio, queue, request.head, 0, n->placed[queue]))
			break;
		n->placed[queue]++;
	}
	if (some && n->back && n->kind->settle)
		n->kind->settle(n->back);
}
