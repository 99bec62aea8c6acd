/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves packets between the card's queues and its back end, and keeps those that wait for a buffer.
 */
#include <stdlib.h>
#include <string.h>

#include "card.h"

enum net_placed { PLACED, NO_BUFFER, LOST };

/* Returns the buffers that were taken for a packet to the queue. */
static enum net_placed
net_return_buffers(struct virtio *v, uint32_t queue, uint16_t count, enum net_placed placed)
{
	while (count--)
		virtio_unpop(v, queue);
	return placed;
}

/* Copies a packet into the driver's buffers: into one, or with MRG_RXBUF into as many as it needs.
 * net_publish() publishes them together. */
static enum net_placed
net_place(struct minivmm_device *dev, uint32_t pair, const uint8_t *packet, size_t length)
{
	struct net *n = minivmm_state(dev);
	struct virtio *v = &n->virtio;
	const uint32_t queue = 2 * pair + RECEIVE;
	struct virtio_request first, next;
	uint16_t count = 0;
	size_t done = 0;

	do { /* a packet has at least a header */
		struct virtio_request *r = count ? &next : &first;
		size_t part = length - done;
		int got;

		/* The packet does not fit even if the driver provides all its buffers. */
		if (count == (virtio_has(v, NET_F_MRG_RXBUF) ? v->size[queue] : 1))
			return net_return_buffers(v, queue, count, LOST);
		got = virtio_pop(dev, v, queue, r);
		if (got <= 0)
			return net_return_buffers(v, queue, count, got < 0 ? LOST : NO_BUFFER);
		if (r->out) {
			virtio_broken(dev, v, "a receive buffer has a device-readable part");
			return LOST;
		}
		if (!count && r->in_bytes < NET_HEADER) {
			virtio_broken(dev, v, "a receive buffer has no room for a header");
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
net_publish(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);

	for (uint32_t q = 0; q < 2 * n->queues; q++) {
		if (n->placed[q])
			virtio_publish(dev, &n->virtio, q, n->placed[q]);
		n->placed[q] = 0;
	}
}

/* Sets the timer that continues when the rate limit admits more. */
static void
net_set_rate_timer(struct minivmm_device *dev, uint64_t until)
{
	struct net *n = minivmm_state(dev);

	if (n->rate_due && n->rate_due <= until)
		return;
	n->rate_due = until;
	minivmm_timer_set(dev, NET_TIMER_RATE, until, 0);
}

/* Delivers a packet. Returns false if it must wait. */
static bool
net_deliver(struct minivmm_device *dev, uint32_t pair, const uint8_t *packet, size_t length)
{
	struct net *n = minivmm_state(dev);
	uint64_t now = minivmm_now(dev), until = rate_wait(&n->receiving, now);
	enum net_placed placed;

	if (pair >= n->pairs) { /* the driver no longer uses this pair */
		n->lost++;
		return true;
	}
	if (until) {
		net_set_rate_timer(dev, until);
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
		n->lost++; /* the driver is not ready */
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
			net_set_rate_timer(dev, until);
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
