/* SPDX-License-Identifier: BSD-2-Clause */
/* Stream sockets of the host, TCP and what unix sockets share with it. */
#include "base/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/text.h"

int
socket_begin(const struct addrinfo *address, bool *pending)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*pending = false;
	if (fd < 0 || !connect(fd, address->ai_addr, address->ai_addrlen))
		return fd;
	*pending = errno == EINPROGRESS;
	return *pending ? fd : file_close_failed(fd);
}

int
socket_error(int fd)
{
	socklen_t size = sizeof(int);
	int error = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) ? errno : error;
}

/* Splits HOST:PORT or [HOST]:PORT. */
static int
split(const char *text, char *host, size_t size, char *port, struct why *why)
{
	const char *colon = strrchr(text, ':');
	size_t length = colon ? (size_t)(colon - text) : 0;
	uint64_t number;

	if (!colon)
		return why_set(why, "has no port; write HOST:PORT");
	if (parse_u64(colon + 1, &number, NULL) || number > 65535)
		return why_set(why, "has no port from 0 to 65535 at its end");
	snprintf(port, 6, "%u", (unsigned)number);
	if (length >= 2 && text[0] == '[' && text[length - 1] == ']') {
		text++;
		length -= 2;
	}
	if (!length)
		return why_set(why,
			       "names no host; use 127.0.0.1 for this host only, or 0.0.0.0 for "
			       "all interfaces");
	if (length >= size)
		return why_set(why, "names a host that is too long");
	memcpy(host, text, length);
	host[length] = '\0';
	return 0;
}

int
socket_check_tcp(const char *text, struct why *why)
{
	char host[256], port[6];

	return split(text, host, sizeof(host), port, why);
}

int
socket_resolve(const char *text, bool listen, struct addrinfo **addresses, struct why *why)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = listen ? AI_PASSIVE : 0 };
	char host[256], port[6];
	int error;

	if (split(text, host, sizeof(host), port, why))
		return -1;
	error = getaddrinfo(host, port, &hints, addresses);
	if (!error)
		return 0;
	return why_set(why, "%s",
		       error == EAI_SYSTEM ? limit_error(errno).text : gai_strerror(error));
}

int
socket_listen(const struct addrinfo *address, int backlog)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, address->ai_addr, address->ai_addrlen) || listen(fd, backlog))
		return file_close_failed(fd);
	return fd;
}

int
socket_accept(int fd)
{
	int client = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

	/* Send each typed character at once. Unix sockets refuse the option. */
	if (client >= 0)
		setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return client;
}

bool
socket_peer(int fd, uid_t *uid)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		return false;
	*uid = peer.uid;
	return true;
}

ssize_t
socket_send_fd(int socket, const void *bytes, size_t length, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr aligned;
	} control = { 0 };
	struct iovec part = { (void *)bytes, length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (fd >= 0) {
		control.aligned.cmsg_level = SOL_SOCKET;
		control.aligned.cmsg_type = SCM_RIGHTS;
		control.aligned.cmsg_len = CMSG_LEN(sizeof(fd));
		message.msg_control = control.bytes;
		message.msg_controllen = sizeof(control.bytes);
		memcpy(CMSG_DATA(&control.aligned), &fd, sizeof(fd));
	}
	return sendmsg(socket, &message, MSG_NOSIGNAL);
}

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

void
socket_refuse_passed(int fd)
{
	const int no = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
}

int
socket_check_passed(int fd, struct why *why)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
	socklen_t length = sizeof(peer), size = sizeof(int);
	int type = 0, unread = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) || type != SOCK_STREAM ||
	    getpeername(fd, (struct sockaddr *)&peer, &length) || peer.ss_family != AF_UNIX)
		return why_set(why, "the descriptor is not a connected unix stream socket");
	if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK))
		return why_errno(why, errno, "setting O_NONBLOCK");
	/* In this order: no descriptor can be among bytes that come later. */
	socket_refuse_passed(fd);
	if (ioctl(fd, FIONREAD, &unread) || unread)
		return why_set(why, "the socket has unread bytes: send them after the reply");
	return 0;
}

void
socket_close_passed(int fd)
{
	const struct linger none = { 0 };
	struct stat st;

	/* Pipes and local files close at once. */
	if (!fstat(fd, &st) && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode))) {
		close(fd);
		return;
	}
	/* So the thread rarely waits. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	file_close_later(fd);
}

void
socket_close_client(int fd)
{
	int unread = 0;

	shutdown(fd, SHUT_RDWR); /* nothing arrives any more */
	if (ioctl(fd, FIONREAD, &unread) || unread)
		socket_close_passed(fd);
	else
		close(fd);
}

#define DESCRIPTORS 253 /* the most that a message has: the kernel need not close any */

static void
take_descriptors(struct msghdr *message, int *kept)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		int fd;

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
			if (*kept < 0)
				*kept = fd;
			else
				socket_close_passed(fd);
		}
	}
}

ssize_t
socket_receive_fd(int socket, void *to, size_t length, int *fd)
{
	union {
		char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
		struct cmsghdr aligned;
	} control;
	struct iovec room = { to, length };
	struct msghdr message = { .msg_iov = &room,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0)
		take_descriptors(&message, fd);
	return n;
}

bool
socket_local_address(int fd, char *host, size_t host_size, char *port, size_t port_size)
{
	struct sockaddr_storage bound;
	socklen_t length = sizeof(bound);

	return !getsockname(fd, (struct sockaddr *)&bound, &length) &&
	       !getnameinfo((struct sockaddr *)&bound, length, host, (socklen_t)host_size, port,
			    (socklen_t)port_size, NI_NUMERICHOST | NI_NUMERICSERV);
}
