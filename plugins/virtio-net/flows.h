/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a user-mode network must know of the guest to begin anew after a restore: by which hardware
 * addresses its addresses are reached, and which of its TCP connections are under way, which the
 * host's sockets do not outlive.
 */
#ifndef PLUGINS_VIRTIO_NET_FLOWS_H
#define PLUGINS_VIRTIO_NET_FLOWS_H

#include <stddef.h>
#include <stdint.h>

#define FLOWS_NEIGHBOURS 16 /* as many as libslirp knows */
#define FLOWS_CONNECTIONS 256
#define FLOWS_FRAME 64 /* bytes of the frames that are made here */

/* All of it is saved. Places are taken in turn: what has no place left is the oldest. */
struct flows {
	uint32_t neighbour_ip[FLOWS_NEIGHBOURS]; /* 0: none */
	uint64_t neighbour_mac[FLOWS_NEIGHBOURS];
	uint32_t neighbour_next;
	uint64_t tcp_guest[FLOWS_CONNECTIONS],
	    tcp_peer[FLOWS_CONNECTIONS];      /* address << 16 | port; 0: none */
	uint8_t tcp_ended[FLOWS_CONNECTIONS]; /* FLOWS_GUEST, FLOWS_PEER: who has sent its FIN */
	uint32_t tcp_next;
};

enum { FLOWS_GUEST = 1, FLOWS_PEER = 2 };

/* Notes what a frame tells, by whom it was sent. */
void flows_note(struct flows *flows, int sender, const uint8_t *frame, size_t length);

/*
 * Each neighbour, as the ARP reply by which the guest would say it; each connection, as a segment
 * from its peer that no connection expects, to which the guest answers with what it does expect.
 * Both to take, with its argument.
 */
void flows_neighbours(const struct flows *flows, void (*take)(void *argument, uint8_t *frame),
		      void *argument);
void flows_probes(const struct flows *flows, void (*take)(void *argument, uint8_t *frame),
		  void *argument);

#endif
