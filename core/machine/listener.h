/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accepts the peers of listening sockets on the loop. Without a descriptor or memory for the next
 * peer, a listening socket stays ready, and epoll would report it without end: it rests for a while
 * and accepts later. Main thread.
 */
#ifndef MACHINE_LISTENER_H
#define MACHINE_LISTENER_H

#include "machine/loop.h"

/* A descriptor kept for a peer that must be accepted even when the process has no other. fd -1:
 * none, or in use. */
struct listener_spare {
	int fd;
};
void listener_reserve(struct listener_spare *spare); /* unless it is reserved */
void listener_release(struct listener_spare *spare);

/*
 * Accepts the next peer of a source with a listening socket; the descriptor is the caller's. spare:
 * used if there is no other descriptor; call listener_reserve when the peer has gone. NULL: none.
 * Returns -1 if there is no peer, or if it must wait: then the source rests.
 */
int listener_accept(struct loop *loop, struct loop_source *source, struct listener_spare *spare);

#endif
