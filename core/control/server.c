/* SPDX-License-Identifier: BSD-2-Clause */
/* The listening socket: its file, the clients that may connect, and their number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/socket.h"
#include "control/client.h"

bool
control_admits(uid_t own, uid_t peer)
{
	return peer == own || peer == 0;
}

/* Sends an error to a client that has just connected, and closes. */
static void
turn_away(int fd, const char *why)
{
	size_t length;
	char *line = request_error_line(why, &length);

	if (line)
		send(fd, line, length, MSG_DONTWAIT | MSG_NOSIGNAL);
	free(line);
	socket_close_client(fd);
}

static bool
admitted(const struct control *control, int fd)
{
	uid_t peer;

	return socket_peer(fd, &peer) && control_admits(control->uid, peer);
}

/* Closes the client that is idle longest. false: all have requests under way. */
static bool
make_room(struct control *control)
{
	struct control_client *silent = NULL;

	for (struct control_client *c = control->clients; c; c = c->next)
		if (!c->request && (!silent || c->heard < silent->heard))
			silent = c;
	if (silent)
		client_dismiss(silent, "closed for a newer client: 64 were connected, and this "
				       "one was idle longest");
	return silent != NULL;
}

static void
connected(struct loop_source *source, uint32_t events)
{
	struct control *control = source->context;
	int fd = listener_accept(control->loop, source, &control->spare);

	if (fd < 0)
		return;
	if (!admitted(control, fd))
		turn_away(fd, "only root and the user that runs this machine may control it");
	else if (control->count >= CONTROL_CLIENTS && !make_room(control))
		turn_away(fd,
			  "64 clients are connected, each with a request in progress; try again "
			  "when one is done");
	else
		client_open(control, fd);
}

static int
refuse_path(const char *path, const char *why)
{
	return fail(STATUS_IO, "cannot listen on the control socket %s: %s", path, why);
}

/* Adds the sources of a socket that listens to the loop. 0, or -1 with the reason in why. */
static int
set_up(struct control *control, int fd, const char *path, struct why *why)
{
	control->path = strdup(path);
	listener_reserve(&control->spare);
	if (control->path && control->spare.fd >= 0 &&
	    !loop_add(control->loop, &control->listener, fd, EPOLLIN))
		return 0;
	why_errno(why, errno, "waiting for clients");
	listener_release(&control->spare);
	free(control->path);
	control->path = NULL;
	socket_file_remove(&control->file);
	close(fd);
	return -1;
}

static void
init(struct control *control, struct loop *loop, const struct command_row *commands, void *context)
{
	*control = (struct control){
		.loop = loop,
		.commands = commands,
		.context = context,
		.uid = geteuid(),
		.listener = { .fd = -1, .ready = connected, .context = control },
		.spare = { .fd = -1 },
	};
}

int
control_open(struct control *control, struct loop *loop, const char *path,
	     const struct command_row *commands, void *context)
{
	struct why why;
	int fd;

	init(control, loop, commands, context);
	if (!*path)
		return refuse_path(path, "the path is empty; name a file");
	fd = socket_listen_unix(path, 0600, CONTROL_CLIENTS, &control->file, &why);
	return fd < 0 || set_up(control, fd, path, &why) ? refuse_path(path, why.text) : 0;
}

int
control_open_passed(struct control *control, struct loop *loop, int fd,
		    const struct command_row *commands, void *context)
{
	struct why why;

	init(control, loop, commands, context);
	return set_up(control, fd, "of LISTEN_FDS", &why) ? refuse_path("of LISTEN_FDS", why.text)
							  : 0;
}

void
control_close(struct control *control)
{
	int fd;

	if (!control->path)
		return;
	while (control->clients)
		client_dismiss(control->clients, control->clients->request
						     ? "the machine ended before this was done"
						     : NULL);
	fd = control->listener.fd;
	loop_remove(control->loop, &control->listener);
	close(fd);
	listener_release(&control->spare);
	socket_file_remove(&control->file);
	free(control->path);
	control->path = NULL;
}
