/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's side of a vsock: connections to unix sockets, their credit in both directions, and the
 * packets that each must send to the guest. It does not access virtqueues. All functions run under
 * the device's lock and never block.
 */
#ifndef PLUGINS_VSOCK_CONNECTION_H
#define PLUGINS_VSOCK_CONNECTION_H

#include <minivmm/plugin.h>
#include <sys/types.h>

#define VSOCK_CONNECTIONS 256u /* maximum, including those that are being established */
#define VSOCK_BUFFER                                                                               \
	65536u /* buf_alloc of the host: bytes that the guest may send ahead of the reader */

/* Flags of VIRTIO_VSOCK_OP_SHUTDOWN: the sender neither receives nor sends any more. */
#define VSOCK_NO_RECEIVE 1u
#define VSOCK_NO_SEND 2u
#define VSOCK_NEITHER 3u

enum vsock_state {
	VSOCK_FREE,
	VSOCK_HANDSHAKE,  /* the host has connected; "CONNECT PORT" is not read yet */
	VSOCK_REQUESTING, /* the host connects: REQUEST must be sent, or has been */
	VSOCK_RESPONDING, /* the guest connects: RESPONSE must be sent */
	VSOCK_OPEN,
};

struct vsock_connection {
	enum vsock_state state;
	int fd;
	uint64_t number;  /* of host->number; a lower one is older */
	uint64_t request; /* of minivmm_connected(), which is due; 0: none */
	uint32_t host_port, guest_port;
	bool request_sent;                      /* REQUESTING: REQUEST has been sent */
	bool reset;                             /* RST must be sent */
	bool credit;                            /* CREDIT_UPDATE must be sent */
	bool readable, hung_up;                 /* events of fd */
	bool ended;                             /* fd is at end of file */
	bool finished;                          /* fd has been shut down for writing */
	uint8_t shutdown_sent;                  /* flags of the SHUTDOWN sent to the guest */
	uint8_t shutdown_received;              /* flags of the SHUTDOWN from the guest */
	uint32_t peer_buf_alloc, peer_fwd_cnt;  /* the guest's buf_alloc and fwd_cnt */
	uint32_t tx_cnt;                        /* bytes sent to the guest; counts wrap */
	uint32_t rx_cnt, fwd_cnt, fwd_cnt_sent; /* bytes received from the guest, written to fd, and
						   the last fwd_cnt sent */
	uint8_t *buffer; /* ring of VSOCK_BUFFER bytes that fd has no room for; NULL: empty */
	uint32_t begin, length;
};

struct vsock_host {
	struct minivmm_device *dev;
	const char *path; /* "": no sockets on the host */
	int listener, epoll;
	int accept_again; /* a timerfd: a caller waits for a descriptor */
	uint32_t most;    /* connections: VSOCK_CONNECTIONS or less, see vsock_host_open */
	uint32_t used;    /* connections from this index on are free */
	uint64_t number;  /* of connections so far */
	struct vsock_connection connections[VSOCK_CONNECTIONS];
};

/* Creates the epoll set and listens on host->path. The connections take at most a quarter of
 * RLIMIT_NOFILE. Returns 0, or -1 after minivmm_error(). */
int vsock_host_open(struct minivmm_device *dev, struct vsock_host *host);
void vsock_host_close(struct vsock_host *host);
void vsock_host_drop_all(struct vsock_host *host);
/* The driver resets the device: drops the connections that the guest knows of. */
void vsock_host_reset(struct vsock_host *host);
/*
 * Processes events of the sockets, a limited number: the epoll set stays readable if there are
 * more. *port: the last port of the host that was assigned; updated.
 */
void vsock_host_events(struct vsock_host *host, uint32_t *port);

struct vsock_connection *vsock_find(struct vsock_host *host, uint32_t host_port,
				    uint32_t guest_port);
/* The guest connects to a port of the host. Returns NULL if no process listens, or there are too
 * many connections. */
struct vsock_connection *vsock_connect(struct vsock_host *host, uint32_t host_port,
				       uint32_t guest_port);
/*
 * The host connects to a port of the guest with a socket that connect has got; request is its id.
 * Returns -1 after minivmm_error(): there are too many connections; then fd stays the caller's.
 * *port: as in vsock_host_events().
 */
int vsock_join(struct vsock_host *host, int fd, uint32_t guest_port, uint64_t request,
	       uint32_t *port);
/* The guest has answered a connection of the host with RST. */
void vsock_refused(struct vsock_host *host, struct vsock_connection *c);
/* The guest has accepted a connection from the host. */
void vsock_established(struct vsock_host *host, struct vsock_connection *c);
void vsock_drop(struct vsock_host *host, struct vsock_connection *c);

/* Writes data of the guest to the socket, or keeps it. Data beyond the credit, or after a shutdown,
 * resets the connection. */
void vsock_forward(struct vsock_connection *c, const uint8_t *bytes, uint32_t length);
/* The guest has sent SHUTDOWN with these flags. */
void vsock_shutdown(struct vsock_connection *c, uint8_t flags);
/* Returns the number of bytes that the guest's credit allows; 0 if there is nothing to read. */
uint32_t vsock_may_send(const struct vsock_connection *c);
/* Reads at most length bytes from the socket. Returns 0 if there are none. */
uint32_t vsock_read_socket(struct vsock_connection *c, uint8_t *bytes, uint32_t length);
/* Returns the flags of a SHUTDOWN that must be sent; 0: none. */
uint8_t vsock_shutdown_due(const struct vsock_connection *c);

#endif
