/* SPDX-License-Identifier: BSD-2-Clause */
/* The network card: its state, and how packets pass between its queues and its back end. */
#ifndef PLUGINS_VIRTIO_NET_CARD_H
#define PLUGINS_VIRTIO_NET_CARD_H

#include "../common/queue.h"
#include "../common/rate.h"
#include "net.h"

#define WAITING (1u << 20) /* bytes of packets that wait, each behind its head */

enum { RECEIVE, TRANSMIT }; /* queues of a pair */

struct net_waiting {
	uint32_t length, pair;
};

struct net {
	struct virtio virtio;
	const char *backend, *forward, *mac, *rate, *burst; /* options */
	uint32_t queues;                                    /* pairs that there are */
	bool restricted;
	/* The state. */
	uint16_t pairs; /* that the driver uses */
	uint8_t address[6];
	uint64_t received, lost, sent, refused;
	struct rate receiving, sending;
	struct flows flows;
	uint8_t *waiting; /* WAITING bytes, once there is one */
	size_t waiting_used;
	/* What is made anew at each start. */
	uint8_t configured[6];          /* mac */
	const struct net_backend *kind; /* NULL: none */
	const char *interface;
	void *back;
	uint64_t agreed;             /* what the back end knows of the driver's features */
	uint64_t rate_due;           /* what the timer is set to; 0: it is not */
	uint32_t watched[NET_PAIRS]; /* events that the back end's descriptors are watched for */
	/* By queue: buffers that net_show() is to show; none between call-backs. */
	uint16_t placed[2 * NET_PAIRS];
	bool full[NET_PAIRS]; /* the back end has no room for the next packet of the guest's */
	uint8_t loaded[NET_STATE_MAX]; /* of the back end's state, until it is open */
	size_t loaded_length;
	uint8_t packet[NET_PACKET_MAX];
};

/* The driver uses so many pairs from here on. */
void net_use(struct minivmm_device *dev, uint32_t pairs);

/* What the driver says in the queue that controls the others. */
void net_control(struct minivmm_device *dev, uint32_t queue);

/* Waits for the back end, or no longer, as the queues are now (a post); or not at all. 0 or -1. */
int net_watch(struct minivmm_device *dev, uint32_t post);
int net_unwatch(struct minivmm_device *dev);

/*
 * Shows the driver what has been received and sent, at once: an interrupt costs it more than a
 * packet. At the end of each call-back that may have done either.
 */
void net_show(struct minivmm_device *dev);

/* Packets that wait, as long as they go. */
void net_drain(struct minivmm_device *dev);

/* What the driver sends by a pair, as long as it goes. */
void net_transmit(struct minivmm_device *dev, uint32_t pair);

#endif
