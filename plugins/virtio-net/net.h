/* SPDX-License-Identifier: BSD-2-Clause */
/* The interface between the network card and its back ends. */
#ifndef PLUGINS_VIRTIO_NET_NET_H
#define PLUGINS_VIRTIO_NET_NET_H

#include <minivmm/plugin.h>

#include "flows.h"

/* Packets have the driver's format: struct virtio_net_hdr (virtio 1.2, section 5.1.6), then an
 * Ethernet frame. */
#define NET_HEADER 12u
#define NET_FRAME_MIN 14u
#define NET_FRAME_MAX 65568u /* 64 KiB of IP, an Ethernet header and a VLAN tag */
#define NET_PACKET_MAX (NET_HEADER + NET_FRAME_MAX)
#define NET_STATE_MAX 1024u /* maximum of a back end's state, in bytes */

/* Feature bits, named as in section 5.1.3. */
#define NET_F_CSUM (1ull << 0)
#define NET_F_GUEST_CSUM (1ull << 1)
#define NET_F_MAC (1ull << 5)
#define NET_F_GUEST_TSO4 (1ull << 7)
#define NET_F_GUEST_TSO6 (1ull << 8)
#define NET_F_HOST_TSO4 (1ull << 11)
#define NET_F_HOST_TSO6 (1ull << 12)
#define NET_F_MRG_RXBUF (1ull << 15)
#define NET_F_STATUS (1ull << 16)
#define NET_F_CTRL_VQ (1ull << 17)
#define NET_F_MQ (1ull << 22)

#define NET_PAIRS 4u /* maximum pairs of queues */

struct net_options {
	const char *interface; /* the part of option backend after the colon */
	const char *forward;
	uint32_t pairs; /* of queues; 1 for a back end without use_pairs */
	bool restricted;
	struct flows *flows; /* the back end updates these; the card saves them */
};

/* Rows of the card's timers, watches and posts. */
enum { NET_TIMER_RATE, NET_TIMER_BACKEND };
enum { NET_WATCH_BACKEND }; /* of pair 0; the other pairs follow */
enum { NET_POST_PENDING, NET_POST_WATCH };

enum net_sent { NET_SENT, NET_DROPPED, NET_FULL };

/* A back end. Constant. All calls run under the device's lock; open and ready on the I/O thread
 * while the machine runs. */
struct net_backend {
	const char *name;
	bool interface;    /* option backend has a part after the colon */
	uint64_t features; /* features that it supports */
	/* Checks the options before anything is opened. Returns 0, or -1 after minivmm_error(). May
	 * be NULL. */
	int (*check)(struct minivmm_device *dev, const struct net_options *options);
	/*
	 * Returns NULL after minivmm_error(). restored: the connections in flows no longer exist.
	 */
	void *(*open)(struct minivmm_device *dev, const struct net_options *options, bool restored);
	void (*close)(void *backend);
	/* Returns the descriptor of a pair, for a watch. */
	int (*fd)(const void *backend, uint32_t pair);
	/* Sets the number of pairs in use, from pair 0 on. NULL: the back end has one pair. */
	void (*use_pairs)(void *backend, uint32_t pairs);
	/*
	 * Sends a packet of the guest. NET_FULL: there is no room; ready is called when there is.
	 */
	enum net_sent (*send)(void *backend, uint32_t pair, uint8_t *packet, size_t length);
	/* Called after a series of send calls, to process their effects. May be NULL. */
	void (*settle)(void *backend);
	/* The descriptor is ready. Passes packets for the guest to net_receive() while net_wants().
	 * Returns false after minivmm_error() if the other end is gone. */
	bool (*ready)(void *backend, uint32_t pair, uint32_t events);
	/* The timer NET_TIMER_BACKEND has fired. May be NULL. */
	void (*timer)(void *backend);
	/* Sets the features that the driver has accepted. May be NULL. */
	void (*set_features)(void *backend, uint64_t features);
	/* save stores at most length bytes of state and returns their number. load takes them back;
	 * it returns -1 after minivmm_error() if they are not valid. May be NULL. */
	size_t (*save)(void *backend, uint8_t *bytes, size_t length);
	int (*load)(void *backend, const uint8_t *bytes, size_t length);
};

extern const struct net_backend user_backend, tap_backend;

/* Passes a packet to the guest by a pair's receive queue. It waits if there is no buffer. If there
 * is no room to wait either, it is dropped and counted. */
void net_receive(struct minivmm_device *dev, uint32_t pair, const uint8_t *packet, size_t length);

/* Returns whether the card takes packets: none is waiting. */
bool net_wants(struct minivmm_device *dev);

#endif
