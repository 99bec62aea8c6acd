/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's side of a vsock: connections to unix sockets, how many bytes each way may still be
 * sent, and what has to be told to the guest. Knows nothing of queues.
 */
#ifndef PLUGINS_VSOCK_CONNECTION_H
#define PLUGINS_VSOCK_CONNECTION_H

#include <minivmm/plugin.h>
#include <sys/types.h>

#define VSOCK_CONNECTIONS 256u /* at once, those that are being made included */
#define VSOCK_BUFFER                                                                               \
	65536u /* bytes of a connection that the guest may send ahead of who reads them */

/* Flags of a shutdown: who sends it neither receives, nor sends, any more. */
#define VSOCK_NO_RECEIVE 1u
#define VSOCK_NO_SEND 2u
#define VSOCK_NEITHER 3u

enum vsock_state {
	VSOCK_FREE,
	VSOCK_GREETS,  /* accepted; has yet to say which port it wants */
	VSOCK_CALLS,   /* the guest is asked */
	VSOCK_ANSWERS, /* the guest has asked, and is to be told that it is connected */
	VSOCK_OPEN,
};

struct vsock_connection {
	enum vsock_state state;
	int fd;
	uint32_t host_port, guest_port;
	bool asked;             /* CALLS: the request has been sent */
	bool reset;             /* the guest is to be told of the end */
	bool credit;            /* and how much it may send */
	bool readable, hung_up; /* what epoll told of fd */
	bool ended;             /* there is nothing more to read */
	bool finished;          /* fd knows that nothing more is written */
	uint8_t told;           /* flags of the shutdown that the guest got, */
	uint8_t shut;           /* and of what it sent */
	uint32_t room, taken;   /* the guest's buffer, and what it took out of it in all */
	uint32_t sent;          /* to the guest, in all; counts wrap */
	uint32_t received, forwarded, told_forwarded; /* from the guest, and on to fd */
	uint8_t *buffer; /* what fd has no room for: a ring of VSOCK_BUFFER; NULL: nothing is */
	uint32_t begin, length;
};

struct vsock_host {
	const char *path; /* "": the host has no sockets */
	int listener, epoll;
	ino_t inode;   /* of the listener's path */
	uint32_t used; /* connections behind these are free */
	struct vsock_connection connections[VSOCK_CONNECTIONS];
};

/* Listens. 0, or -1 after an error. */
int vsock_host_open(struct minivmm_device *dev, struct vsock_host *host);
void vsock_host_close(struct vsock_host *host);
void vsock_host_drop_all(struct vsock_host *host);
/* Learns what has become ready. *port: the next port of the host for a connection that wants
 * one. */
void vsock_host_events(struct vsock_host *host, uint32_t *port);

struct vsock_connection *vsock_find(struct vsock_host *host, uint32_t host_port,
				    uint32_t guest_port);
/* The guest calls. NULL: nobody answers, or there are too many. */
struct vsock_connection *vsock_call(struct vsock_host *host, uint32_t host_port,
				    uint32_t guest_port);
/* The guest has answered to a call of the host's. */
void vsock_answered(struct vsock_connection *c);
void vsock_drop(struct vsock_host *host, struct vsock_connection *c);

/* Takes bytes of the guest's; more than it may send, or than anybody takes, resets the
 * connection. */
void vsock_forward(struct vsock_connection *c, const uint8_t *bytes, uint32_t length);
/* The guest shuts down, with these flags. */
void vsock_shut(struct vsock_connection *c, uint8_t flags);
/* How many bytes may be sent to the guest now. */
uint32_t vsock_may_send(const struct vsock_connection *c);
/* Reads at most length of them; 0: there are none. */
uint32_t vsock_take(struct vsock_connection *c, uint8_t *bytes, uint32_t length);
/* The flags of a shutdown that the guest is to be told of; 0: none. */
uint8_t vsock_shuts(const struct vsock_connection *c);

#endif
