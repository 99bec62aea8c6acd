/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end of user-mode networking: libslirp, and its sockets. */
#ifndef PLUGINS_VIRTIO_NET_USER_H
#define PLUGINS_VIRTIO_NET_USER_H

#include <slirp/libslirp.h>

#include "net.h"

/* State of a descriptor of libslirp, indexed by its number. */
struct user_fd {
	uint32_t events; /* events in the epoll set; 0: not in the set */
	uint32_t ready;
	uint32_t round; /* the last round in which libslirp asked for it */
	bool listed;
	bool open; /* libslirp has not closed it since */
};

struct user {
	struct minivmm_device *dev;
	struct net_options options;
	Slirp *slirp;
	SlirpCb callbacks;
	int epoll;
	struct user_fd *fds; /* fd_count entries */
	size_t fd_count;
	int *list; /* descriptors that are or were in the epoll set */
	size_t listed, room;
	uint32_t round;
	size_t open, most; /* descriptors of libslirp: their number, and the limit */
	size_t sent;       /* frames since open was counted, each of which may have opened one */
	uint64_t ahead;    /* libslirp's clock is ahead of the VM's, in ns; see user_admits() */
	uint64_t due;      /* VM time for which the timer is set; 0: not set */
};

/* libslirp's callback unregister_poll_fd. */
void user_unregister_fd(int fd, void *opaque);

/*
 * Whether the guest may open another flow. libslirp has a descriptor for each flow, which ends 240
 * s after its last datagram: a guest could use up those of the process. Above the limit the UDP and
 * ICMP flows that are idle longest are closed. false: TCP connections take all.
 */
bool user_admits(struct user *u);
/* Sets the limit: a part of what the process may have. */
void user_limit(struct user *u);

/* The back end's ready, settle and timer. */
bool user_ready(void *backend, uint32_t pair, uint32_t events);
void user_settle(void *backend);
void user_timer(void *backend);

#endif
