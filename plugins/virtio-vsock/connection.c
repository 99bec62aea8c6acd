/* SPDX-License-Identifier: BSD-2-Clause */
/* Connections of a vsock to unix sockets of the host. No function blocks. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4, asprintf */
#endif
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "connection.h"

#define GREETING 32            /* maximum length of "CONNECT PORT\n" */
#define EVENTS 64              /* events per epoll_wait() */
#define BACKLOG 64             /* also the callers to accept before other work of the thread */
#define ACCEPT_AGAIN 100000000 /* ns, as in core/machine/listener.c */
#define NUMBER_AT                                                                                  \
	16 /* bits of an event's data for the slot; above is the connection's number, since an     \
	      earlier event may have given the slot to another one */
#define VSOCK_NAME_MAX 74u /* the host allows 85 bytes; _4294967295 must fit, too */
#define FIRST_PORT                                                                                 \
	(1u << 30) /* first port assigned to connections of the host; lower ports name PATH_N */

static int
wait_for(struct vsock_host *host, int fd, uint32_t events, uint64_t which)
{
	struct epoll_event event = { .events = events, .data.u64 = which };

	return epoll_ctl(host->epoll, EPOLL_CTL_ADD, fd, &event);
}

static int
timer(void)
{
	return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
}

/* Leaves most descriptors of the process to snapshots, clients of the machine and other devices. */
static uint32_t
most_connections(void)
{
	struct rlimit limit;

	return !getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur / 4 < VSOCK_CONNECTIONS
		   ? (uint32_t)limit.rlim_cur / 4
		   : VSOCK_CONNECTIONS;
}

int
vsock_host_open(struct minivmm_device *dev, struct vsock_host *host)
{
	const char *name;

	host->dev = dev;
	host->most = most_connections();
	host->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (host->epoll < 0) {
		minivmm_error(dev, "cannot create an epoll set: %s",
			      minivmm_error_text(dev, MINIVMM_CALL_OTHER, errno).text);
		return -1;
	}
	if (!*host->path)
		return 0;
	name = strrchr(host->path, '/');
	if (strlen(name ? name + 1 : host->path) > VSOCK_NAME_MAX) {
		minivmm_error(dev,
			      "path = %s has a name of more than %u bytes, to which _PORT is "
			      "appended; use a shorter name",
			      host->path, VSOCK_NAME_MAX);
		return -1;
	}
	host->listener = minivmm_socket_listen(dev, host->path, BACKLOG);
	if (host->listener < 0)
		return -1;
	if ((host->accept_again = timer()) >= 0 &&
	    !wait_for(host, host->accept_again, EPOLLIN | EPOLLET, VSOCK_CONNECTIONS + 1) &&
	    !wait_for(host, host->listener, EPOLLIN | EPOLLET, VSOCK_CONNECTIONS))
		return 0;
	minivmm_error(dev, "cannot wait for connections to %s: %s", host->path,
		      minivmm_error_text(dev, MINIVMM_CALL_OTHER, errno).text);
	return -1;
}

void
vsock_host_close(struct vsock_host *host)
{
	vsock_host_drop_all(host);
	if (host->listener >= 0)
		close(host->listener);
	if (host->accept_again >= 0)
		close(host->accept_again);
	if (host->epoll >= 0)
		close(host->epoll);
	host->listener = host->accept_again = host->epoll = -1;
}

/* Answers the request of a connection, if that is due. */
static void
answer(struct vsock_host *host, struct vsock_connection *c, const char *error)
{
	if (c->request)
		minivmm_connected(host->dev, c->request, error);
	c->request = 0;
}

void
vsock_drop(struct vsock_host *host, struct vsock_connection *c)
{
	answer(host, c, "the connection has ended before the guest has answered");
	close(c->fd); /* this also removes it from the epoll set */
	free(c->buffer);
	*c = (struct vsock_connection){ .fd = -1 };
	while (host->used && host->connections[host->used - 1].state == VSOCK_FREE)
		host->used--;
}

void
vsock_host_drop_all(struct vsock_host *host)
{
	while (host->used)
		vsock_drop(host, &host->connections[host->used - 1]);
}

void
vsock_host_reset(struct vsock_host *host)
{
	for (uint32_t i = 0; i < host->used; i++) {
		struct vsock_connection *c = &host->connections[i];

		if (c->state > VSOCK_REQUESTING ||
		    (c->state == VSOCK_REQUESTING && c->request_sent))
			vsock_drop(host, c);
	}
}

struct vsock_connection *
vsock_find(struct vsock_host *host, uint32_t host_port, uint32_t guest_port)
{
	for (uint32_t i = 0; i < host->used; i++) {
		struct vsock_connection *c = &host->connections[i];

		if (c->state > VSOCK_HANDSHAKE && c->host_port == host_port &&
		    c->guest_port == guest_port)
			return c;
	}
	return NULL;
}

/* Drops the caller that has waited longest without its "CONNECT PORT": callers that say nothing
 * must not keep others, and the guest, from connecting. */
static void
drop_silent(struct vsock_host *host)
{
	struct vsock_connection *oldest = NULL;

	for (uint32_t i = 0; i < host->used; i++) {
		struct vsock_connection *c = &host->connections[i];

		if (c->state == VSOCK_HANDSHAKE && (!oldest || c->number < oldest->number))
			oldest = c;
	}
	if (oldest)
		vsock_drop(host, oldest);
}

static uint32_t
find_free(const struct vsock_host *host)
{
	uint32_t i = 0;

	while (i < host->most && host->connections[i].state != VSOCK_FREE)
		i++;
	return i;
}

/* Adds a connection for this descriptor. NULL, if there are too many: it stays the caller's. */
static struct vsock_connection *
add(struct vsock_host *host, int fd, enum vsock_state state)
{
	uint32_t i = find_free(host);

	if (i == host->most) {
		drop_silent(host);
		i = find_free(host);
	}
	if (i == host->most || wait_for(host, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
					++host->number << NUMBER_AT | i))
		return NULL;
	host->connections[i] =
	    (struct vsock_connection){ .state = state, .fd = fd, .number = host->number };
	if (i >= host->used)
		host->used = i + 1;
	return &host->connections[i];
}

struct vsock_connection *
vsock_connect(struct vsock_host *host, uint32_t host_port, uint32_t guest_port)
{
	struct vsock_connection *c = NULL;
	char *path;
	int fd;

	if (!*host->path || asprintf(&path, "%s_%u", host->path, host_port) < 0)
		return NULL;
	fd = minivmm_socket_connect(host->dev, path);
	free(path);
	if (fd >= 0)
		c = add(host, fd, VSOCK_RESPONDING);
	if (c) {
		c->host_port = host_port;
		c->guest_port = guest_port;
	} else if (fd >= 0)
		close(fd);
	return c;
}

/* Gives a connection of the host a port that the guest port has no other connection with. */
static void
request(struct vsock_host *host, struct vsock_connection *c, uint32_t guest_port, uint32_t *port)
{
	c->guest_port = guest_port;
	do {
		*port = *port < FIRST_PORT || *port == UINT32_MAX ? FIRST_PORT : *port + 1;
	} while (vsock_find(host, *port, guest_port));
	c->host_port = *port;
	c->state = VSOCK_REQUESTING;
}

int
vsock_join(struct vsock_host *host, int fd, uint32_t guest_port, uint64_t id, uint32_t *port)
{
	struct vsock_connection *c = add(host, fd, VSOCK_HANDSHAKE);

	if (!c) {
		minivmm_error(host->dev, "there are %u connections already; close some",
			      host->most);
		return -1;
	}
	c->request = id;
	request(host, c, guest_port, port);
	return 0;
}

void
vsock_refused(struct vsock_host *host, struct vsock_connection *c)
{
	answer(host, c, "the guest refuses it: no program listens on that port");
	vsock_drop(host, c);
}

/* Writes buffered data while the socket has room. */
static void
flush(struct vsock_connection *c)
{
	while (c->length && !c->reset) {
		uint32_t part =
		    VSOCK_BUFFER - c->begin < c->length ? VSOCK_BUFFER - c->begin : c->length;
		ssize_t n = send(c->fd, c->buffer + c->begin, part, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) /* the reader is gone: drop the data; the guest's earlier data may still
			      be read */
			n = part;
		c->begin = (c->begin + (uint32_t)n) % VSOCK_BUFFER;
		c->length -= (uint32_t)n;
		c->fwd_cnt += (uint32_t)n;
	}
	if (!c->length) {
		free(c->buffer);
		c->buffer = NULL;
		/* Only once: each shutdown() causes another epoll event. */
		if (c->shutdown_received & VSOCK_NO_SEND && !c->finished)
			shutdown(c->fd, SHUT_WR);
		c->finished = c->shutdown_received & VSOCK_NO_SEND;
		c->reset |= c->shutdown_received == VSOCK_NEITHER;
	}
	/* Send a credit update when half of the buffer has been freed since the last one. */
	c->credit |= c->fwd_cnt - c->fwd_cnt_sent >= VSOCK_BUFFER / 2;
}

/* Writes to the socket while it has room, and buffers the rest. */
void
vsock_forward(struct vsock_connection *c, const uint8_t *bytes, uint32_t length)
{
	ssize_t n = 0;

	if (c->reset)
		return;
	if (length > VSOCK_BUFFER - (c->rx_cnt - c->fwd_cnt) ||
	    c->shutdown_received & VSOCK_NO_SEND) {
		c->reset = true;
		return;
	}
	c->rx_cnt += length;
	if (!c->length)
		n = send(c->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		n = errno == EAGAIN || errno == EINTR ? 0 : length;
	c->fwd_cnt += (uint32_t)n;
	if ((uint32_t)n < length && !c->buffer) {
		c->buffer = malloc(VSOCK_BUFFER);
		c->begin = 0;
		c->reset |= !c->buffer;
	}
	for (uint32_t at = (uint32_t)n; at < length && c->buffer; c->length++)
		c->buffer[(c->begin + c->length) % VSOCK_BUFFER] = bytes[at++];
	flush(c);
}

void
vsock_shutdown(struct vsock_connection *c, uint8_t flags)
{
	c->shutdown_received |= flags & VSOCK_NEITHER;
	flush(c);
}

uint32_t
vsock_may_send(const struct vsock_connection *c)
{
	uint32_t in_flight = c->tx_cnt - c->peer_fwd_cnt;

	if (c->state != VSOCK_OPEN || !c->readable || c->ended ||
	    c->shutdown_received & VSOCK_NO_RECEIVE)
		return 0;
	return in_flight < c->peer_buf_alloc ? c->peer_buf_alloc - in_flight : 0;
}

uint32_t
vsock_read_socket(struct vsock_connection *c, uint8_t *bytes, uint32_t length)
{
	ssize_t n = recv(c->fd, bytes, length, MSG_DONTWAIT);

	if (n > 0) {
		c->tx_cnt += (uint32_t)n;
		return (uint32_t)n;
	}
	if (n < 0 && errno == EINTR)
		return 0;
	c->readable = false;
	c->ended |= n == 0;
	c->reset |= n < 0 && errno != EAGAIN;
	return 0;
}

uint8_t
vsock_shutdown_due(const struct vsock_connection *c)
{
	uint8_t flags = !c->ended ? 0 : c->hung_up ? VSOCK_NEITHER : VSOCK_NO_SEND;

	return c->state == VSOCK_OPEN && flags & ~c->shutdown_sent ? flags : 0;
}

void
vsock_established(struct vsock_host *host, struct vsock_connection *c)
{
	char text[32];
	int length = snprintf(text, sizeof(text), "OK %u\n", c->host_port);

	c->state = VSOCK_OPEN;
	if (c->request) {
		answer(host, c, NULL);
		return;
	}
	/* These are the first bytes on the socket, so there is room. */
	if (send(c->fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) != length)
		c->reset = true;
}

/* Reads "CONNECT PORT\n" and nothing beyond it. Returns false if the input is something else. */
static bool
read_handshake(struct vsock_host *host, struct vsock_connection *c, uint32_t *port)
{
	char text[GREETING + 1], *end, *line;
	ssize_t n = recv(c->fd, text, GREETING, MSG_PEEK | MSG_DONTWAIT);
	unsigned long long number;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	text[n] = '\0';
	line = memchr(text, '\n', (size_t)n);
	if (!line)
		return n > 0 && n < GREETING && !c->hung_up;
	if (strncmp(text, "CONNECT ", 8) || text[8] < '0' || text[8] > '9')
		return false;
	number = strtoull(text + 8, &end, 10);
	if (end != line || number > UINT32_MAX)
		return false;
	if (recv(c->fd, text, (size_t)(line - text) + 1, MSG_DONTWAIT) != line - text + 1)
		return false;
	request(host, c, (uint32_t)number, port);
	return true;
}

/* The listener is reported once per caller. Without a descriptor for the next one, tries again
 * after a while; with more callers than are accepted at once, after other work of the thread. */
static void
accept_some(struct vsock_host *host)
{
	struct itimerspec again = { .it_value.tv_nsec = 1 };
	int fd, count = 0;

	while (count < BACKLOG &&
	       (fd = accept4(host->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (!add(host, fd, VSOCK_HANDSHAKE))
			close(fd);
		count++;
	}
	if (count < BACKLOG) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		again.it_value.tv_nsec = ACCEPT_AGAIN;
	}
	timerfd_settime(host->accept_again, 0, &again, NULL);
}

static void
handle_events(struct vsock_host *host, struct vsock_connection *c, uint32_t events, uint32_t *port)
{
	c->hung_up |= (events & (EPOLLHUP | EPOLLERR)) != 0;
	c->readable |= (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	if (c->state == VSOCK_HANDSHAKE && !read_handshake(host, c, port))
		vsock_drop(host, c);
	else if (c->state == VSOCK_REQUESTING && c->hung_up && !c->request_sent)
		vsock_drop(host, c);
	else if (c->state == VSOCK_REQUESTING && c->hung_up)
		c->reset = true;
	else
		flush(c);
}

void
vsock_host_events(struct vsock_host *host, uint32_t *port)
{
	struct epoll_event events[EVENTS];
	int n = epoll_wait(host->epoll, events, EVENTS, 0);

	for (int i = 0; i < n; i++) {
		uint64_t which = events[i].data.u64, slot = which % (1u << NUMBER_AT);
		struct vsock_connection *c = &host->connections[slot % VSOCK_CONNECTIONS];

		if (slot >= VSOCK_CONNECTIONS)
			accept_some(host);
		else if (c->state != VSOCK_FREE && c->number == which >> NUMBER_AT)
			handle_events(host, c, events[i].events, port);
	}
}
