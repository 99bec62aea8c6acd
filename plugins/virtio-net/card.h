/* SPDX-License-Identifier: BSD-2-Clause */
/* The network card: its state, and the functions between its queues and its back end. All run under
 * the device's lock. */
#ifndef PLUGINS_VIRTIO_NET_CARD_H
#define PLUGINS_VIRTIO_NET_CARD_H

#include "../common/queue.h"
#include "../common/rate.h"
#include "net.h"

#define WAITING (1u << 20) /* size of the buffer of waiting packets, in bytes */

enum { RECEIVE, TRANSMIT }; /* queues of a pair */

struct net_waiting {
	uint32_t length, pair;
};

struct net {
	struct virtio virtio;
	const char *backend, *forward, *mac, *rate, *burst; /* options */
	uint32_t queues;                                    /* pairs of queues */
	bool restricted;
	/* State. */
	uint16_t pairs; /* pairs that the driver uses */
	uint8_t address[6];
	uint64_t received, lost, sent, refused;
	struct rate receiving, sending;
	struct flows flows;
	uint8_t *waiting; /* WAITING bytes, allocated for the first packet; each packet follows a
			     struct net_waiting */
	size_t waiting_used;
	/* Set at each start. */
	uint8_t configured[6];          /* the address of option mac */
	const struct net_backend *kind; /* NULL: none */
	const char *interface;
	void *back;
	uint64_t features_set;       /* features of the driver that the back end has been given */
	uint64_t rate_due;           /* VM time for which the timer is set; 0: not set */
	uint32_t watched[NET_PAIRS]; /* events for which the back end's descriptors are watched */
	/* By queue: filled buffers that net_publish() will publish; 0 between callbacks. */
	uint16_t placed[2 * NET_PAIRS];
	bool full[NET_PAIRS];          /* the back end has no room for the guest's next packet */
	uint8_t loaded[NET_STATE_MAX]; /* loaded state of the back end, until it is open */
	size_t loaded_length;
	uint8_t packet[NET_PACKET_MAX];
};

/* Sets the number of pairs that the driver uses. */
void net_use_pairs(struct minivmm_device *dev, uint32_t pairs);

/* Processes the control queue. */
void net_control(struct minivmm_device *dev, uint32_t queue);

/* net_watch() updates the watches of the back end's descriptors for the current state of the
 * queues; it is a post, too. net_unwatch() ends all. Both return 0, or -1 after an error. */
int net_watch(struct minivmm_device *dev, uint32_t post);
int net_unwatch(struct minivmm_device *dev);

/* Publishes the filled buffers of all queues at once, since an interrupt costs the driver more than
 * a packet. Call it at the end of each callback that may have received or sent. */
void net_publish(struct minivmm_device *dev);

/* Delivers waiting packets while the driver has buffers. */
void net_drain(struct minivmm_device *dev);

/* Sends the packets of a pair's transmit queue while the back end has room. */
void net_transmit(struct minivmm_device *dev, uint32_t pair);

#endif
