/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end of user-mode networking: libslirp, and the sockets that it waits for. */
#ifndef PLUGINS_VIRTIO_NET_USER_H
#define PLUGINS_VIRTIO_NET_USER_H

#include <slirp/libslirp.h>

#include "net.h"

/* A descriptor of libslirp's, by number. */
struct user_fd {
	uint32_t asked; /* events that the epoll waits for; 0: it does not have it */
	uint32_t ready;
	uint32_t round; /* the last one in which it was asked for */
	bool listed;
};

struct user {
	struct minivmm_device *dev;
	struct net_options options;
	Slirp *slirp;
	SlirpCb callbacks;
	int epoll;
	struct user_fd *fds; /* fd_count of them */
	size_t fd_count;
	int *list; /* the numbers of those that are in the epoll, and of some that were */
	size_t listed, room;
	uint32_t round;
	uint64_t due; /* what the timer is set to; 0: it is not */
};

/* libslirp is done with a descriptor. */
void user_unregisters(int fd, void *opaque);

/* The back end's ready, settle and timer. */
bool user_ready(void *backend, uint32_t pair, uint32_t events);
void user_settle(void *backend);
void user_timer(void *backend);

#endif
