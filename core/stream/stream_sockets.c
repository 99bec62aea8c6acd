/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams over sockets. A listening stream has one client; the next one waits until it hangs up. */
#include "stream/stream_sockets.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/socket.h"
#include "machine/listener.h"

#define CONNECT_TIMEOUT 10000  /* ms */
#define DRAIN_MOST (16u << 20) /* bytes of unread input; receive buffers hold less */

int
stream_unix_check(const char *target, struct why *why)
{
	return socket_check_unix(target, 0, why);
}

int
stream_tcp_check(const char *target, struct why *why)
{
	return socket_check_tcp(target, why);
}

static int
resolve(struct stream_end *end, bool listen, struct addrinfo **addresses)
{
	struct why why;

	if (!socket_resolve(end->target, listen, addresses, &why))
		return 0;
	return fail(STATUS_IO, "%s %s: %s = %s:%s: cannot find the host: %s",
		    stream_owner(end->stream), end->stream->device, end->option, end->kind->name,
		    end->target, why.text);
}

static void
connect_done(struct loop_source *source, uint32_t events)
{
	*(bool *)source->context = true;
}

/* Runs the loop until the descriptor is writable, CONNECT_TIMEOUT has passed or the machine has
 * ended. Returns 0, ETIMEDOUT, ECANCELED or another errno. */
static int
wait_for_connect(struct stream_end *end)
{
	const struct stream_hub *hub = end->stream->hub;
	uint64_t deadline = clock_host() + CONNECT_TIMEOUT * 1000000ull, now;
	bool done = false, ended = false;
	struct loop_source source = { .fd = -1, .ready = connect_done, .context = &done };

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

/* Finishes a connect that socket_begin() started; takes ownership of fd. False with errno. */
static bool
connected(struct stream_end *end, int fd, bool pending)
{
	int error = 0;

	end->fd = fd;
	end->own = end->socket = true;
	if (fd >= 0 && pending)
		error = wait_for_connect(end);
	if (fd >= 0 && pending && !error)
		error = socket_error(fd);
	if (fd >= 0 && !error)
		return true;
	if (fd >= 0) {
		close(fd);
		errno = error;
	}
	end->fd = -1;
	return false;
}

/* Returns 0 if the machine ended during the wait, else a negative status after logging errno. */
static int
not_connected(const struct stream_end *end)
{
	return errno == ECANCELED ? 0 : stream_end_fail(end, "connect");
}

int
stream_unix_connect(struct stream_end *end, bool restored)
{
	bool pending;
	int fd = socket_begin_unix(end->target, &pending);

	end->connected = connected(end, fd, pending);
	return end->connected ? 0 : not_connected(end);
}

int
stream_tcp_connect(struct stream_end *end, bool restored)
{
	struct addrinfo *addresses = NULL;
	int status = resolve(end, false, &addresses), fd;
	bool pending;

	if (status)
		return status;
	errno = 0;
	for (struct addrinfo *a = addresses; a && !end->connected && errno != ECANCELED;
	     a = a->ai_next) {
		fd = socket_begin(a, &pending);
		end->connected = connected(end, fd, pending);
	}
	if (!end->connected)
		status = not_connected(end);
	freeaddrinfo(addresses);
	return status;
}

int
stream_unix_listen(struct stream_end *end, bool restored)
{
	struct why why = { 0 };

	end->own = end->socket = true;
	end->listen_fd = socket_listen_unix(end->target, 0, 1, &end->file, &why);
	if (end->listen_fd < 0)
		return stream_end_refuse(end, "listen", &why);
	socket_refuse_passed(end->listen_fd);
	return 0;
}

int
stream_tcp_listen(struct stream_end *end, bool restored)
{
	struct addrinfo *addresses = NULL;
	int status = resolve(end, true, &addresses);
	char host[64], port[8];

	if (status)
		return status;
	end->own = end->socket = true;
	for (struct addrinfo *a = addresses; a && end->listen_fd < 0; a = a->ai_next)
		end->listen_fd = socket_listen(a, 1);
	if (end->listen_fd < 0)
		status = stream_end_fail(end, "listen");
	freeaddrinfo(addresses);
	/* For port 0 the kernel has chosen a port: log it. */
	if (!status && socket_local_address(end->listen_fd, host, sizeof(host), port, sizeof(port)))
		log_line(MINIVMM_INFO, end->stream->device, "%s listens on %s port %s", end->option,
			 host, port);
	return status;
}

void
stream_socket_accept(struct stream_end *end)
{
	end->fd = listener_accept(end->stream->hub->loop, &end->listen_source, NULL);
	end->connected = end->fd >= 0;
}

void
stream_socket_finish(struct stream_end *end, const volatile bool *interrupted)
{
	char unread[4096];
	size_t left = DRAIN_MOST;
	ssize_t n;

	if (end->fd >= 0) {
		shutdown(end->fd, SHUT_WR);
		/* If unread input is left, close() resets a TCP connection, and output in flight is
		 * lost. A peer that sends without end cannot delay the end of the machine. */
		while (left && (n = stream_end_read(end, unread, sizeof(unread))) > 0)
			left -= least(left, (size_t)n);
	}
	if (end->listen_fd >= 0)
		socket_file_remove(&end->file);
}

/* The output that none becomes when a client is connected. */
static const struct stream_kind passed_kind = {
	.name = "connect",
	.flags = KIND_TWO_WAY,
	.accept = stream_socket_accept,
	.finish = stream_socket_finish,
};

/* Makes a stream without output one that has clients, which are its input if it has no other. */
static int
accept_clients(struct stream *stream, struct why *why)
{
	bool reads = stream->in.option && !stream->in.kind;
	uint8_t *input = reads && !stream->input_size ? malloc(STREAM_INPUT_SIZE) : NULL;

	if (reads && !stream->input_size && !input)
		return why_no_memory(why);
	pthread_mutex_lock(&stream->lock);
	stream->out.kind = &passed_kind;
	stream->out.own = stream->out.socket = true;
	if (reads)
		stream->reader = &stream->out;
	if (input) {
		free(stream->input);
		stream->input = input;
		stream->input_size = STREAM_INPUT_SIZE;
	}
	pthread_mutex_unlock(&stream->lock);
	return 0;
}

int
stream_connect(struct stream *stream, int fd, struct why *why)
{
	struct stream_end *out = &stream->out;
	char text[256];

	if (out->kind && out->kind->accept != stream_socket_accept)
		return why_set(why,
			       "its %s is %s; use %s = none, or a socket that listens, to connect",
			       out->option, stream_end_text(out, text, sizeof(text)), out->option);
	if (out->connected)
		return why_set(why, "another program is connected to it; end that first");
	if (!out->kind && accept_clients(stream, why))
		return -1;
	out->fd = fd;
	out->connected = out->passed = true;
	stream_end_connected(out);
	return 0;
}
