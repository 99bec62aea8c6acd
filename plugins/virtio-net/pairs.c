/* SPDX-License-Identifier: BSD-2-Clause */
/* The pairs of queues: the number that the driver uses, and the watches of the back end. */
#include <string.h>
#include <sys/epoll.h>

#include "card.h"

void
net_use_pairs(struct minivmm_device *dev, uint32_t pairs)
{
	struct net *n = minivmm_state(dev);

	n->pairs = (uint16_t)pairs;
	if (n->back && n->kind->use_pairs)
		n->kind->use_pairs(n->back, pairs);
	minivmm_post(dev, NET_POST_WATCH);
}

/* Runs a command of section 5.1.6.5: class, command and its data. Only
 * VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET exists. Returns false to report an error. */
static bool
net_command(struct minivmm_device *dev, const struct virtio_request *request)
{
	struct net *n = minivmm_state(dev);
	struct {
		uint8_t class, command;
		uint16_t pairs;
	} c;

	if (virtio_copy(dev, &n->virtio, request, false, 0, &c, sizeof(c)) != sizeof(c) ||
	    c.class != 4 /* VIRTIO_NET_CTRL_MQ */ || c.command ||
	    !virtio_has(&n->virtio, NET_F_MQ) || !c.pairs || c.pairs > n->queues)
		return false;
	net_use_pairs(dev, c.pairs);
	return true;
}

void
net_control(struct minivmm_device *dev, uint32_t queue)
{
	struct net *n = minivmm_state(dev);
	struct virtio_request request;

	while (virtio_pop(dev, &n->virtio, queue, &request) > 0) {
		uint8_t answer = !net_command(dev, &request); /* VIRTIO_NET_OK is 0 */

		if (virtio_copy(dev, &n->virtio, &request, true, 0, &answer, 1) < 0 ||
		    virtio_push(dev, &n->virtio, queue, &request, 1))
			return;
	}
}

int
net_watch(struct minivmm_device *dev, uint32_t post)
{
	struct net *n = minivmm_state(dev);
	int r = 0;

	for (uint32_t p = 0; n->back && p < n->queues && !r; p++) {
		uint32_t events =
		    p < n->pairs ? (net_wants(dev) ? EPOLLIN : 0) | (n->full[p] ? EPOLLOUT : 0) : 0;

		if (n->watched[p] == events)
			continue;
		n->watched[p] = events;
		r = minivmm_watch(dev, NET_WATCH_BACKEND + p, events ? n->kind->fd(n->back, p) : -1,
				  events);
	}
	return r;
}

int
net_unwatch(struct minivmm_device *dev)
{
	struct net *n = minivmm_state(dev);
	int r = 0;

	for (uint32_t p = 0; p < n->queues && !r; p++)
		r = n->watched[p] ? minivmm_watch(dev, NET_WATCH_BACKEND + p, -1, 0) : 0;
	return r;
}
