/* SPDX-License-Identifier: BSD-2-Clause */
/* The vsock device: its state, and the two directions of its packets. All functions run under the
 * device's lock. */
#ifndef PLUGINS_VSOCK_VSOCK_H
#define PLUGINS_VSOCK_VSOCK_H

#include "../common/queue.h"
#include "connection.h"

#define RESETS 64u /* maximum number of RST packets that wait */

enum { RECEIVE, TRANSMIT, EVENT }; /* queues */

struct vsock {
	struct virtio virtio;
	uint64_t cid; /* options */
	const char *path;
	struct vsock_host *host;
	bool transport_reset; /* the event must be sent; set by every restore */
	/* state */
	uint32_t port; /* the last port of the host that was assigned */
	uint32_t reset_count, reset_hosts[RESETS], reset_guests[RESETS];
};

/* Sends the waiting packets to the guest, until there are no more or the driver has no buffer. */
void vsock_receive(struct minivmm_device *dev);
/* Processes the guest's packets while RST answers have room. */
void vsock_transmit(struct minivmm_device *dev);

#endif
