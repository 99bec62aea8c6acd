/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams over sockets. One client at a time: a second one waits until the first has hung up. */
#include "stream/stream_sockets.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"

#define CONNECT_TIMEOUT 10000 /* ms */

int
stream_unix_check(const char *target, struct why *why)
{
	struct sockaddr_un address;

	if (!*target)
		return why_set(why, "names no socket");
	if (strlen(target) >= sizeof(address.sun_path))
		return why_set(why, "is longer than a socket's path may be (107 bytes); use a "
				    "shorter folder");
	return 0;
}

/* Cuts "HOST:PORT" or "[HOST]:PORT". */
static int
tcp_split(const char *target, char *host, size_t size, char *port, struct why *why)
{
	const char *colon = strrchr(target, ':');
	size_t length = colon ? (size_t)(colon - target) : 0;
	uint64_t number;

	if (!colon)
		return why_set(why, "has no port; write HOST:PORT");
	if (parse_u64(colon + 1, &number, NULL) || number > 65535)
		return why_set(why, "has no port from 0 to 65535 at its end");
	snprintf(port, 6, "%u", (unsigned)number);
	if (length >= 2 && target[0] == '[' && target[length - 1] == ']') {
		target++;
		length -= 2;
	}
	if (!length)
		return why_set(why, "names no host; 127.0.0.1 is this one alone, 0.0.0.0 is every "
				    "interface");
	if (length >= size)
		return why_set(why, "names a host that is too long");
	memcpy(host, target, length);
	host[length] = '\0';
	return 0;
}

int
stream_tcp_check(const char *target, struct why *why)
{
	char host[256], port[6];

	return tcp_split(target, host, sizeof(host), port, why);
}

static int
tcp_resolve(struct stream_end *end, int flags, struct addrinfo **addresses)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = flags };
	char host[256], port[6];
	int error;

	tcp_split(end->target, host, sizeof(host), port, NULL); /* checked when it was parsed */
	error = getaddrinfo(host, port, &hints, addresses);
	if (!error)
		return 0;
	return fail(STATUS_IO, "%s: %s = %s:%s: cannot find the host: %s", end->stream->device,
		    stream_end_option(end), end->kind->name, end->target,
		    error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
}

static bool
own_socket(struct stream_end *end, int domain)
{
	end->fd = socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	end->own = end->socket = true;
	return end->fd >= 0;
}

static void
answered(struct loop_source *source, uint32_t events)
{
	*(bool *)source->context = true;
}

/* Runs the loop until the descriptor can be written to, the time is over or the machine has ended.
 * 0 or an errno. */
static int
wait_for_answer(struct stream_end *end)
{
	const struct stream_hub *hub = end->stream->hub;
	uint64_t deadline = clock_host() + CONNECT_TIMEOUT * 1000000ull, now;
	bool done = false, ended = false;
	struct loop_source source = { .fd = -1, .ready = answered, .context = &done };

	if (loop_add(hub->loop, &source, end->fd, EPOLLOUT))
		return errno;
	while (!done && !ended && (now = clock_host()) < deadline) {
		if (loop_once(hub->loop, (int)((deadline - now) / 1000000) + 1))
			break;
		ended = hub->ended && hub->ended(hub->context);
	}
	loop_remove(hub->loop, &source);
	return done ? 0 : ended ? ECANCELED : ETIMEDOUT;
}

/* Connects end->fd; false with errno. */
static bool
connect_to(struct stream_end *end, const struct sockaddr *address, socklen_t length)
{
	socklen_t size = sizeof(int);
	int error;

	if (!connect(end->fd, address, length))
		return true;
	if (errno != EINPROGRESS)
		return false;
	error = wait_for_answer(end);
	if (!error)
		getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	errno = error;
	return !error;
}

static void
drop_fd(int *fd)
{
	int error = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = error;
}

static struct sockaddr_un
unix_address(const struct stream_end *end)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, end->target, sizeof(address.sun_path) - 1);
	return address;
}

int
stream_unix_connect(struct stream_end *end, bool restored)
{
	struct sockaddr_un address = unix_address(end);

	if (!own_socket(end, AF_UNIX) ||
	    !connect_to(end, (struct sockaddr *)&address, sizeof(address)))
		return stream_end_fail(end, "connect");
	end->connected = true;
	return 0;
}

int
stream_tcp_connect(struct stream_end *end, bool restored)
{
	struct addrinfo *addresses = NULL;
	int status = tcp_resolve(end, 0, &addresses);

	if (status)
		return status;
	errno = 0;
	for (struct addrinfo *a = addresses; a && !end->connected && errno != ECANCELED;
	     a = a->ai_next) {
		if (own_socket(end, a->ai_family) && connect_to(end, a->ai_addr, a->ai_addrlen))
			end->connected = true;
		else
			drop_fd(&end->fd);
	}
	if (!end->connected && errno != ECANCELED)
		status = stream_end_fail(end, "connect");
	freeaddrinfo(addresses);
	return status;
}

/* Makes end->fd, bound to the address, end->listen_fd. */
static bool
listen_on(struct stream_end *end, const struct sockaddr *address, socklen_t length)
{
	int one = 1;

	setsockopt(end->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(end->fd, address, length) || listen(end->fd, 1)) {
		drop_fd(&end->fd);
		return false;
	}
	end->listen_fd = end->fd;
	end->fd = -1;
	return true;
}

/* A socket that nobody listens on is left from a process that died: it is taken away. */
static void
remove_stale(struct stream_end *end, const struct sockaddr_un *address)
{
	struct stat st;

	if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode) || !own_socket(end, AF_UNIX))
		return;
	if (connect(end->fd, (const struct sockaddr *)address, sizeof(*address)) &&
	    errno == ECONNREFUSED)
		unlink(address->sun_path);
	drop_fd(&end->fd);
}

int
stream_unix_listen(struct stream_end *end, bool restored)
{
	struct sockaddr_un address = unix_address(end);
	struct stat st;

	remove_stale(end, &address);
	if (!own_socket(end, AF_UNIX) ||
	    !listen_on(end, (struct sockaddr *)&address, sizeof(address)))
		return stream_end_fail(end, "listen");
	end->inode = lstat(end->target, &st) ? 0 : st.st_ino;
	return 0;
}

int
stream_tcp_listen(struct stream_end *end, bool restored)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);
	struct addrinfo *addresses = NULL;
	int status = tcp_resolve(end, AI_PASSIVE, &addresses);
	char host[64], port[8];

	if (status)
		return status;
	for (struct addrinfo *a = addresses; a && end->listen_fd < 0; a = a->ai_next)
		if (own_socket(end, a->ai_family))
			listen_on(end, a->ai_addr, a->ai_addrlen);
	if (end->listen_fd < 0)
		status = stream_end_fail(end, "listen");
	freeaddrinfo(addresses);
	/* Port 0 is one that is free: only now is it known which. */
	if (!status && !getsockname(end->listen_fd, (struct sockaddr *)&bound, &length) &&
	    !getnameinfo((struct sockaddr *)&bound, length, host, sizeof(host), port, sizeof(port),
			 NI_NUMERICHOST | NI_NUMERICSERV))
		log_line(MINIVMM_INFO, end->stream->device, "%s listens on %s port %s",
			 stream_end_option(end), host, port);
	return status;
}

void
stream_socket_accept(struct stream_end *end)
{
	int one = 1;

	end->fd = accept4(end->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	end->connected = end->fd >= 0;
	/* Each character is worth a packet to who types; unix sockets refuse this, which is
	 * fine. */
	if (end->connected)
		setsockopt(end->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

void
stream_socket_finish(struct stream_end *end, const volatile bool *interrupted)
{
	struct sockaddr_un address = { 0 };
	socklen_t length = sizeof(address);
	struct stat st;
	char unread[256];

	if (end->fd >= 0) {
		shutdown(end->fd, SHUT_WR);
		/* Closed with input unread, TCP would take back what is on its way out. */
		while (recv(end->fd, unread, sizeof(unread), MSG_DONTWAIT) > 0)
			;
	}
	if (end->listen_fd >= 0 &&
	    !getsockname(end->listen_fd, (struct sockaddr *)&address, &length) &&
	    address.sun_family == AF_UNIX && !lstat(end->target, &st) && st.st_ino == end->inode)
		unlink(end->target); /* and not what another process has put there since */
}
