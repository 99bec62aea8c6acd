/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection to a control socket. */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/socket.h"
#include "cli/ctl.h"

#define REPLY_MAX ((size_t)64 << 20)
#define SILENT_MS 2000 /* a machine reads a request in microseconds */
#define LOOK_MS 50

/* True if peer owns the directory of the socket. */
static bool
owns_directory(uid_t peer, const char *path)
{
	struct place place;
	struct stat st;
	bool owns;

	if (place_open(&place, path))
		return false;
	owns = !fstat(place.directory, &st) && st.st_uid == peer;
	place_close(&place);
	return owns;
}

static int
check_server(const struct ctl *ctl)
{
	uid_t peer = (uid_t)-1;

	if (socket_peer(ctl->fd, &peer) && (peer == geteuid() || peer == 0 || peer == ctl->user ||
					    owns_directory(peer, ctl->path)))
		return 0;
	return fail(STATUS_IO,
		    "cannot trust the machine at %s: it belongs to user %u, not to you, root or "
		    "the owner of the directory; if that is right, add --user %u",
		    ctl->path, peer, peer);
}

/* Checks the result of connect(2), of which errno is still set, and the user that has accepted. */
static int
check_connection(const struct ctl *ctl)
{
	if (ctl->fd >= 0)
		return check_server(ctl);
	return ctl->quiet ? -STATUS_IO
			  : fail(STATUS_IO, "cannot connect to %s: %s%s", ctl->path,
				 limit_error(errno).text,
				 errno == ENOENT ? "; check that the machine is running"
				 : errno == ECONNREFUSED
				     ? "; the machine has ended, or it is not a control socket"
				 : errno == EACCES ? "; use the account of the machine, or root"
						   : "");
}

static int
check_path(const char *path)
{
	struct why why;

	return socket_check_unix(path, 0, &why)
		   ? fail(STATUS_IO, "cannot connect to %s: it %s", path, why.text)
		   : 0;
}

int
ctl_connect(struct ctl *ctl, const struct ctl *target)
{
	const char *path = target->path;

	*ctl = (struct ctl){
		.path = path, .user = target->user, .fd = -1, .by_name = target->by_name
	};
	if (check_path(path))
		return -STATUS_IO;
	ctl->fd = socket_connect_unix(path);
	return check_connection(ctl);
}

int
ctl_begin(struct ctl *ctl, const char *path, bool quiet)
{
	bool pending;

	*ctl = (struct ctl){
		.path = path, .user = (uid_t)-1, .fd = -1, .quiet = quiet, .no_wait = true
	};
	if (check_path(path))
		return -STATUS_IO;
	ctl->fd = socket_begin_unix(path, &pending);
	if (ctl->fd < 0 && errno == EAGAIN)
		return 1;
	return check_connection(ctl);
}

void
ctl_close(struct ctl *ctl)
{
	if (ctl->fd >= 0)
		close(ctl->fd);
	free(ctl->received);
	*ctl = (struct ctl){ .path = ctl->path, .user = ctl->user, .fd = -1, .quiet = ctl->quiet };
}

static int
broken(const struct ctl *ctl, const char *why)
{
	return ctl->quiet ? -STATUS_IO : fail(STATUS_IO, "%s: no reply: %s", ctl->path, why);
}

/* Warns if the machine does not read the request: nothing else tells the user what ctl waits for.
 * While it works on the request, it is silent for as long as that takes. */
static void
await_reader(const struct ctl *ctl)
{
	struct pollfd reply = { .fd = ctl->fd, .events = POLLIN };
	int unread;

	for (int ms = 0; ms < SILENT_MS; ms += LOOK_MS)
		if (ioctl(ctl->fd, SIOCOUTQ, &unread) || !unread || poll(&reply, 1, LOOK_MS))
			return;
	log_line(MINIVMM_WARNING, NULL,
		 "%s: the machine does not read the request: it is stopped, or a callback of a "
		 "device takes long, which its log reports",
		 ctl->path);
}

/* The machine may have sent an error before it hung up; it is read as the reply. */
int
ctl_send(struct ctl *ctl, const char *line, int fd)
{
	size_t length = strlen(line);

	while (length) {
		ssize_t n = socket_send_fd(ctl->fd, line, length, fd);

		if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return 0;
		if (n < 0 && errno != EINTR)
			return broken(ctl, limit_error(errno).text);
		if (n < 0)
			continue;
		line += n;
		length -= (size_t)n;
		fd = -1; /* sent with the first bytes */
	}
	if (!ctl->no_wait)
		await_reader(ctl);
	return 0;
}

int
ctl_read(struct ctl *ctl)
{
	ssize_t n;

	if (ctl->capacity - ctl->length < 4096) {
		size_t capacity = 2 * ctl->capacity + 65536;
		char *larger = capacity < REPLY_MAX ? realloc(ctl->received, capacity) : NULL;

		if (!larger)
			return broken(ctl, "it is too long");
		ctl->received = larger;
		ctl->capacity = capacity;
	}
	n = read(ctl->fd, ctl->received + ctl->length, ctl->capacity - ctl->length);
	if (n < 0 && errno == EINTR)
		return 0;
	if (n <= 0)
		return broken(ctl, n ? limit_error(errno).text : "the machine hung up");
	ctl->length += (size_t)n;
	return 0;
}

char *
ctl_line(struct ctl *ctl)
{
	char *end = ctl->length ? memchr(ctl->received, '\n', ctl->length) : NULL;
	size_t length = end ? (size_t)(end - ctl->received) : 0;
	char *line = end ? malloc(length + 1) : NULL;

	if (!line)
		return NULL;
	memcpy(line, ctl->received, length);
	line[length] = '\0';
	ctl->length -= length + 1;
	memmove(ctl->received, end + 1, ctl->length);
	return line;
}

int
ctl_receive(struct ctl *ctl, char **line)
{
	int failed = 0;

	while (!(*line = ctl_line(ctl)) && !failed)
		failed = ctl_read(ctl);
	return failed;
}

int
ctl_reply(const struct ctl *ctl, const char *line, struct json *reply)
{
	struct json ok, error;
	struct why why;
	int r = json_open(line, strlen(line), reply, &why);
	char *text = NULL;
	size_t length;

	if (!r && !json_find(reply, "ok", &ok))
		r = why_set(&why, "has no member ok");
	if (r)
		return fail(STATUS_IO, "%s: the reply %s; check that it is a control socket",
			    ctl->path, why.text);
	if (json_is_true(&ok))
		return 0;
	if (json_find(reply, "error", &error))
		text = json_string(&error, &length);
	log_line(MINIVMM_ERROR, NULL, "%s",
		 text ? text : "the machine reported an error without a text");
	free(text);
	return 1;
}
