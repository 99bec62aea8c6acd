/* SPDX-License-Identifier: BSD-2-Clause */
/* What the network card and its back ends know of each other. */
#ifndef PLUGINS_VIRTIO_NET_NET_H
#define PLUGINS_VIRTIO_NET_NET_H

#include <minivmm/plugin.h>

#include "flows.h"

/* Packets are as the driver has them: struct virtio_net_hdr (virtio 1.2, section 5.1.6), then an
 * Ethernet frame. */
#define NET_HEADER 12u
#define NET_FRAME_MIN 14u
#define NET_FRAME_MAX 65568u /* 64 KiB of IP, with Ethernet's header and a VLAN's */
#define NET_PACKET_MAX (NET_HEADER + NET_FRAME_MAX)
#define NET_STATE_MAX 1024u /* bytes of a back end's own state */

/* What a back end may say of itself, by the names of section 5.1.3. */
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

#define NET_PAIRS 4u /* of queues, at most */

struct net_options {
	const char *interface; /* what stands behind the colon of backend */
	const char *forward;
	uint32_t pairs; /* of queues; 1 for a back end without use */
	bool restricted;
	struct flows
	    *flows; /* what a back end notes of the guest's connections: the card saves it */
};

/* The card's timers and watches; posts begin behind the shared library's. */
enum { NET_TIMER_RATE, NET_TIMER_BACKEND };
enum { NET_WATCH_BACKEND }; /* of the first pair; the others' are behind it */
enum { NET_POST_AGAIN, NET_POST_WATCH };

enum net_sent { NET_SENT, NET_DROPPED, NET_FULL };

/*
 * A back end: a constant. All calls come under the device's lock; open and ready on the I/O thread,
 * with the machine running.
 */
struct net_backend {
	const char *name;
	bool interface;    /* there is something behind the colon */
	uint64_t features; /* what it can take from a driver, and give */
	/* Before anything is opened: -1 after it has been said what is wrong with the options. May
	 * be NULL. */
	int (*check)(struct minivmm_device *dev, const struct net_options *options);
	/* NULL after an error has been said. restored: what flows holds is of connections that are
	 * no more. */
	void *(*open)(struct minivmm_device *dev, const struct net_options *options, bool restored);
	void (*close)(void *backend);
	/* The descriptor of a pair to wait for. */
	int (*fd)(const void *backend, uint32_t pair);
	/* So many pairs are in use, from the first on. NULL: it has but one. */
	void (*use)(void *backend, uint32_t pairs);
	/* A packet of the guest's. NET_FULL: not now, ready comes when there is room. */
	enum net_sent (*send)(void *backend, uint32_t pair, uint8_t *packet, size_t length);
	/* Some packets have been sent: what they led to may be seen to. May be NULL. */
	void (*settle)(void *backend);
	/*
	 * The descriptor is ready; packets for the guest go to net_receive(), as long as
	 * net_wants(). False: there is nothing behind it any more, which has been said.
	 */
	bool (*ready)(void *backend, uint32_t pair, uint32_t events);
	/* The timer NET_TIMER_BACKEND has fired. May be NULL. */
	void (*timer)(void *backend);
	/* What the driver has agreed to. May be NULL. */
	void (*agreed)(void *backend, uint64_t features);
	/* State of its own: at most length bytes, how many there are; and back, -1 when they are
	 * none. May be NULL. */
	size_t (*save)(void *backend, uint8_t *bytes, size_t length);
	int (*load)(void *backend, const uint8_t *bytes, size_t length);
};

extern const struct net_backend user_backend, tap_backend;

/* A packet for the guest, by that pair of queues. It waits if there is no buffer for it; what does
 * not even find room to wait is lost, and counted. */
void net_receive(struct minivmm_device *dev, uint32_t pair, const uint8_t *packet, size_t length);

/* Nothing waits: the guest takes more. */
bool net_wants(struct minivmm_device *dev);

#endif
