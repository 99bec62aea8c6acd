/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm ctl SOCKET connect: joins stdin and stdout with a port of the guest. One end of a socket
 * pair goes to the machine with the command. Two threads copy, one for each direction, so that
 * neither waits for the other; each waits in poll(2), read(2) and write(2), and leaves the flags of
 * stdin and stdout alone, which other programs share.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"
#include "cli/ctl.h"

#define PART 65536u /* bytes */

/* Waits until a descriptor that others have made nonblocking is ready. */
static void
wait_for(int fd, short events)
{
	struct pollfd ready = { .fd = fd, .events = events };

	poll(&ready, 1, -1);
}

static bool
again(int fd, short events)
{
	if (errno == EAGAIN)
		wait_for(fd, events);
	return errno == EAGAIN || errno == EINTR;
}

static ssize_t
read_some(int fd, char *bytes)
{
	ssize_t n;

	do
		n = read(fd, bytes, PART);
	while (n < 0 && again(fd, POLLIN));
	return n;
}

/* false: the reader is gone, or errno says what has failed. */
static bool
write_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t n = write(fd, bytes, length);

		if (n < 0 && !again(fd, POLLOUT))
			return false;
		if (n > 0) {
			bytes += n;
			length -= (size_t)n;
		}
	}
	return true;
}

/* false: the connection has ended. */
static bool
has_input(int fd)
{
	struct pollfd either[] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .fd = fd } };

	while (poll(either, 2, -1) < 0 && errno == EINTR)
		;
	return !either[1].revents;
}

/* From stdin to the guest, until one of them ends. */
static void *
send_input(void *context)
{
	int fd = *(int *)context;
	char *bytes = malloc(PART);
	ssize_t n = bytes ? 1 : -1;

	while (n > 0) {
		n = has_input(fd) ? read_some(STDIN_FILENO, bytes) : 0;
		if (n > 0 && !write_all(fd, bytes, (size_t)n))
			break; /* the guest reads no more */
	}
	if (n < 0)
		log_line(MINIVMM_WARNING, NULL, "ctl: cannot read stdin: %s; it ends here",
			 limit_error(errno).text);
	shutdown(fd, SHUT_WR);
	free(bytes);
	return NULL;
}

/* From the guest to stdout, until the guest sends no more. 0 or a negative status. */
static int
receive_output(int fd)
{
	char *bytes = malloc(PART);
	int status = 0;
	ssize_t n;

	if (!bytes)
		return fail_memory("the connection");
	while (!status && (n = read_some(fd, bytes)) > 0)
		if (!write_all(STDOUT_FILENO, bytes, (size_t)n))
			status = fail(STATUS_IO, "ctl: cannot write to stdout: %s",
				      limit_error(errno).text);
	free(bytes);
	return status;
}

/* Copies until both directions have ended. 0 or a negative status. */
static int
join(int fd)
{
	pthread_t sender;
	int error = pthread_create(&sender, NULL, send_input, &fd), status;

	if (error)
		return fail(STATUS_HOST, "ctl: cannot create a thread: %s",
			    limit_error_of(LIMIT_THREAD, error).text);
	status = receive_output(fd);
	/* POLLHUP: we have shut down our half, or the guest reads no more. */
	if (!status)
		wait_for(fd, 0);
	shutdown(fd, SHUT_RDWR); /* ends the thread, if it still waits for stdin */
	pthread_join(sender, NULL);
	return status;
}

int
ctl_join(struct ctl *ctl, const char *line)
{
	int ends[2], status;
	char *reply = NULL;
	struct json json;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -fail(STATUS_HOST, "ctl: cannot create a socket: %s",
			     limit_error(errno).text);
	status = ctl_send(ctl, line, ends[1]);
	close(ends[1]);
	if (!status)
		status = ctl_receive(ctl, &reply);
	if (!status)
		status = ctl_reply(ctl, reply, &json);
	ctl_close(ctl); /* the machine has room for a few clients */
	free(reply);
	if (!status)
		status = join(ends[0]);
	return status < 0 ? -status : status;
}
