/* SPDX-License-Identifier: BSD-2-Clause */
/* The state of the guest that a user-mode network needs after a restore: the MAC addresses of the
 * guest's IP addresses, and its open TCP connections, whose sockets on the host are gone. */
#ifndef PLUGINS_VIRTIO_NET_FLOWS_H
#define PLUGINS_VIRTIO_NET_FLOWS_H

#include <stddef.h>
#include <stdint.h>

#define FLOWS_NEIGHBOURS 16 /* the number that libslirp stores */
#define FLOWS_CONNECTIONS 256
#define FLOWS_FRAME 64 /* bytes of a generated frame */

/* All members are saved. When a table is full, the oldest entry is replaced. */
struct flows {
	uint32_t neighbour_ip[FLOWS_NEIGHBOURS]; /* 0: free entry */
	uint64_t neighbour_mac[FLOWS_NEIGHBOURS];
	uint32_t neighbour_next;
	uint64_t tcp_guest[FLOWS_CONNECTIONS],
	    tcp_peer[FLOWS_CONNECTIONS];      /* address << 16 | port; 0: free entry */
	uint8_t tcp_ended[FLOWS_CONNECTIONS]; /* FLOWS_GUEST, FLOWS_PEER: the sides that have sent a
						 FIN */
	uint32_t tcp_next;
};

enum { FLOWS_GUEST = 1, FLOWS_PEER = 2 };

/* Updates the tables from a frame. sender: FLOWS_GUEST or FLOWS_PEER. */
void flows_note(struct flows *flows, int sender, const uint8_t *frame, size_t length);

/*
 * flows_neighbours() generates an ARP reply of the guest for each of its addresses. flows_probes()
 * generates two segments from the peer for each connection, of which at least one is outside the
 * window; the guest answers that one with the sequence numbers that it expects. Both call take with
 * each frame of FLOWS_FRAME bytes, which is valid during the call.
 */
void flows_neighbours(const struct flows *flows, void (*take)(void *argument, uint8_t *frame),
		      void *argument);
void flows_probes(const struct flows *flows, void (*take)(void *argument, uint8_t *frame),
		  void *argument);

#endif
