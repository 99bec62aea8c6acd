/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A client of the control socket. It waits for one thing at a time: that its reply can be sent,
 * that its request ends, or for the next line. Each event does a bounded piece of work: one send,
 * one recvmsg, or one request.
 */
#include "control/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool
has_line(const struct control_client *client)
{
	return client->length > CONTROL_LINE || memchr(client->line, '\n', client->length);
}

void
client_update(struct control_client *client)
{
	uint32_t events = EPOLLIN;

	if (client->out)
		events = EPOLLOUT;
	else if (client->request)
		events = EPOLLHUP; /* of both directions: a client that only shut down its own waits
				      for the reply */
	else if (has_line(client))
		events = EPOLLOUT; /* a line is there: run it after the other events */
	loop_change(client->control->loop, &client->source, events);
}

void
client_close(struct control_client *client)
{
	struct control *control = client->control;
	int fd = client->source.fd;

	for (struct control_client **c = &control->clients; *c; c = &(*c)->next)
		if (*c == client) {
			*c = client->next;
			break;
		}
	control->count--;
	loop_remove(control->loop, &client->source);
	socket_close_client(fd);
	if (client->passed >= 0)
		socket_close_passed(client->passed);
	listener_reserve(&control->spare);
	if (client->request)
		request_orphan(client->request);
	free(client->out);
	free(client);
}

void
client_answer(struct control_client *client, char *reply, size_t length)
{
	client->request = NULL;
	if (!reply) {
		client_close(client);
		return;
	}
	client->out = reply;
	client->out_length = length;
	client->out_sent = 0;
	client_update(client);
}

/* Sends an error and then closes the connection. */
static void
refuse(struct control_client *client, const char *why)
{
	size_t length = 0;
	char *line = request_error_line(why, &length);

	client->closing = true;
	client_answer(client, line, length);
}

/* Sends without waiting. false: the client is gone. */
static bool
send_out(struct control_client *client)
{
	ssize_t n = send(client->source.fd, client->out + client->out_sent,
			 client->out_length - client->out_sent, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client->out_sent += (size_t)n;
	if (client->out_sent == client->out_length) {
		free(client->out);
		client->out = NULL;
	}
	return true;
}

void
client_dismiss(struct control_client *client, const char *why)
{
	size_t length;

	if (client->out)
		send_out(client);
	if (!client->out && why) {
		client->out = request_error_line(why, &length);
		client->out_length = length;
		client->out_sent = 0;
		if (client->out)
			send_out(client);
	}
	client_close(client);
}

/* Receives into the rest of the line buffer. false: the client is gone. */
static bool
receive(struct control_client *client)
{
	ssize_t n = socket_receive_fd(client->source.fd, client->line + client->length,
				      sizeof(client->line) - client->length, &client->passed);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	client->length += (size_t)n;
	client->heard = ++client->control->heard;
	return n > 0;
}

/* Runs the first line if it is whole. The client may be gone afterwards. */
static void
run_line(struct control_client *client)
{
	char line[CONTROL_LINE], *end = memchr(client->line, '\n', client->length);
	size_t length;

	if (!end) {
		if (client->length > CONTROL_LINE)
			refuse(client, "the request is longer than 16384 bytes");
		return;
	}
	length = (size_t)(end - client->line);
	memcpy(line, client->line, length);
	client->length -= length + 1;
	memmove(client->line, end + 1, client->length);
	if (memchr(line, '\0', length)) {
		refuse(client, "the request contains a NUL byte");
		return;
	}
	request_run(client, line, length);
}

/* Whether the first line, if it is whole, is a command that can run in a nested loop. */
static bool
may_run_now(const struct control_client *client)
{
	const char *end = memchr(client->line, '\n', client->length);
	char line[CONTROL_LINE + 1], *words[CONTROL_WORDS + 1];
	struct why why;
	int count;

	if (!end)
		return true;
	memcpy(line, client->line, (size_t)(end - client->line));
	line[end - client->line] = '\0';
	return control_words(line, words, &count, &why) ||
	       command_may_run_now(client->control->commands, client->control->context, words[0]);
}

/* In the nested loop of a pause, which a request of another client has begun, everything that may
 * touch the machine waits for the outer loop. */
static bool
must_wait(struct control_client *client)
{
	client->source.outer =
	    loop_nested(client->control->loop) && (client->request || !may_run_now(client));
	return client->source.outer;
}

static void
ready(struct loop_source *source, uint32_t events)
{
	struct control_client *client = source->context;

	if (client->out) {
		if (!send_out(client) || (!client->out && client->closing))
			client_close(client);
		else
			client_update(client);
	} else if (must_wait(client))
		return;
	else if (client->request)
		client_close(client);
	else if (has_line(client) || receive(client)) {
		if (must_wait(client))
			client_update(client);
		else
			run_line(client);
	} else if (client->length)
		refuse(client, "the request does not end with a newline");
	else
		client_close(client);
}

void
client_open(struct control *control, int fd)
{
	struct control_client *client = calloc(1, sizeof(*client));

	if (!client) {
		close(fd);
		return;
	}
	client->control = control;
	client->source = (struct loop_source){ .fd = fd, .ready = ready, .context = client };
	client->passed = -1;
	client->heard = ++control->heard;
	client->next = control->clients;
	control->clients = client;
	control->count++;
	if (loop_add(control->loop, &client->source, fd, EPOLLIN))
		client_close(client);
}
