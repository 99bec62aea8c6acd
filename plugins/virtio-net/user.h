/* SPDX-License-Identifier: BSD-2-Clause */
/* The back end of user-mode networking: libslirp, and its sockets. */
#ifndef PLUGINS_VIRTIO_NET_USER_H
#define PLUGINS_VIRTIO_NET_USER_H

#include <slirp/libslirp.h>

#include "net.h"

/* The kinds of flows: of datagrams (UDP, ICMP) and TCP connections. */
enum user_kind { USER_CLOSED, USER_DATAGRAMS, USER_STREAM, USER_KINDS };

/* State of a descriptor of libslirp, indexed by its number. */
struct user_fd {
	uint32_t events; /* events in the epoll set; 0: not in the set */
	uint32_t ready;
	uint32_t round; /* the last round in which libslirp asked for it */
	bool listed;
	uint8_t kind; /* enum user_kind */
	bool listens;
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
	size_t open[USER_KINDS]; /* open descriptors, as far as the last round has shown */
	size_t sent[USER_KINDS]; /* frames since then, each of which may have opened one */
	size_t most;             /* the limit of each kind */
	uint64_t ahead, idle;    /* ns; ms: see user_end_oldest() */
	uint64_t accept_at;      /* VM time before which no caller of the host is accepted */
	uint64_t due;            /* VM time for which the timer is set; 0: not set */
};

/* libslirp's callbacks register_poll_fd and unregister_poll_fd. */
void user_register_fd(int fd, void *opaque);
void user_unregister_fd(int fd, void *opaque);

/*
 * Whether the guest may open another flow of this kind. libslirp has a descriptor for each flow,
 * and keeps those of datagrams for 240 s: without a limit a guest uses up those of the process.
 * Above it, the flows of datagrams that have been idle longest end. false: a connection is not
 * ended.
 */
bool user_admits(struct user *u, enum user_kind kind);
/* Sets the limit: a part of what the process may have. */
void user_limit(struct user *u);

/* The back end's ready, settle and timer. */
bool user_ready(void *backend, uint32_t pair, uint32_t events);
void user_settle(void *backend);
void user_timer(void *backend);

#endif
