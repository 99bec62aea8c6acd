/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of stream kinds, and all kinds except sockets: stdio, files, ptys, text. */
#include "stream/stream_kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/job.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/socket.h"
#include "base/text.h"
#include "stream/stream_sockets.h"

const char *
stream_end_text(const struct stream_end *end, char *buffer, size_t size)
{
	snprintf(buffer, size, "%s%s%s", end->kind->name, end->target ? ":" : "",
		 end->target ? end->target : "");
	return buffer;
}

int
stream_end_refuse(const struct stream_end *end, const char *operation, const struct why *why)
{
	char text[256];

	return fail(why_status(why, STATUS_IO), "%s %s: %s = %s: cannot %s: %s",
		    stream_owner(end->stream), end->stream->device, end->option,
		    stream_end_text(end, text, sizeof(text)), operation, why->text);
}

#define PTY_POLL 200000000 /* ns */

static int
end_fail(const struct stream_end *end, enum limit_call call, const char *operation)
{
	int error = errno;
	char text[256];

	return fail(limit_status(call, error, STATUS_IO), "%s %s: %s = %s: cannot %s: %s",
		    stream_owner(end->stream), end->stream->device, end->option,
		    stream_end_text(end, text, sizeof(text)), operation,
		    limit_error_of(call, error).text);
}

int
stream_end_fail(const struct stream_end *end, const char *operation)
{
	return end_fail(end, LIMIT_OTHER, operation);
}

/* True, with errno EAGAIN, if the call would block. O_NONBLOCK is not set on an inherited
 * descriptor, since other processes share its flags: poll instead. */
static bool
would_block(const struct stream_end *end, short events)
{
	struct pollfd fd = { .fd = end->fd, .events = events };

	if (end->own || end->ready || end->socket || poll(&fd, 1, 0) == 1)
		return false;
	errno = EAGAIN;
	return true;
}

/* The peer of a unix socket can pass descriptors. If recv(2) dropped them, that could wait as long
 * as close(2) of a passed one. */
static ssize_t
receive(int socket, void *to, size_t length)
{
	int passed = -1;
	ssize_t n = TEMP_FAILURE_RETRY(socket_receive_fd(socket, to, length, &passed));

	if (passed >= 0)
		socket_close_passed(passed);
	return n;
}

ssize_t
stream_end_read(struct stream_end *end, void *to, size_t length)
{
	if (would_block(end, POLLIN))
		return -1;
	if (end->socket)
		return receive(end->fd, to, length);
	return TEMP_FAILURE_RETRY(read(end->fd, to, length));
}

ssize_t
stream_end_write(struct stream_end *end, const void *from, size_t length)
{
	if (would_block(end, POLLOUT))
		return -1;
	if (end->terminal && !job_may_write(end->fd) && job_stop(SIGTTOU)) {
		errno = EAGAIN;
		return -1;
	}
	if (end->socket)
		return TEMP_FAILURE_RETRY(send(end->fd, from, length, MSG_DONTWAIT | MSG_NOSIGNAL));
	/* If poll reports POLLOUT, a pipe has room for PIPE_BUF bytes. */
	if (!end->own && !end->ready && length > PIPE_BUF)
		length = PIPE_BUF;
	return TEMP_FAILURE_RETRY(write(end->fd, from, length));
}

static int
path_check(const char *path, struct why *why)
{
	return *path ? 0 : why_set(why, "names no file");
}

/* Uses a descriptor that the process inherited. */
static int
standard_open(struct stream_end *end, int fd, const char *operation)
{
	struct stat st;

	if (fstat(fd, &st))
		return stream_end_fail(end, operation);
	end->fd = fd;
	end->connected = true;
	end->ready = S_ISREG(st.st_mode);
	end->socket = S_ISSOCK(st.st_mode);
	end->terminal = isatty(fd);
	if ((S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)) && fd != STDIN_FILENO &&
	    (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY) {
		/* poll does not tell how much room a terminal has, and a longer write blocks; a
		 * pipe that others write to can be full after poll: open it again with O_NONBLOCK.
		 */
		int own = file_reopen(fd);

		if (own >= 0) {
			end->fd = own;
			end->own = true;
		}
	}
	return 0;
}

static int
stdio_open(struct stream_end *end, bool restored)
{
	int status;

	if (end == &end->stream->out)
		return standard_open(end, STDOUT_FILENO, "use stdout");
	status = standard_open(end, STDIN_FILENO, "use stdin");
	return !status && end->terminal ? stream_terminal_raw(end->stream->hub) : status;
}

static int
stderr_open(struct stream_end *end, bool restored)
{
	return standard_open(end, STDERR_FILENO, "use stderr");
}

static int
path_open(struct stream_end *end, bool restored)
{
	bool output = end == &end->stream->out;
	enum file_how how = !output ? FILE_READ : restored ? FILE_APPEND : FILE_EMPTY;
	int descriptor = output ? file_descriptor(end->target) : -1;
	struct stat st;
	struct why why;

	/* To open /dev/fd/N again would truncate the file and start at its beginning. */
	if (descriptor >= 0)
		return file_descriptor_given(descriptor) ? standard_open(end, descriptor, "use it")
							 : stream_end_fail(end, "use it");
	end->fd = output ? file_open_output(end->target, how, end->stream->hub->made)
			 : file_open(end->target, how);
	if (end->fd < 0 && errno == ENXIO && output)
		return fail(STATUS_IO,
			    "%s %s: %s = file:%s: cannot open it for writing: this pipe has no "
			    "reader; start its reader first",
			    stream_owner(end->stream), end->stream->device, end->option,
			    end->target);
	if (end->fd < 0) {
		file_why(end->target, errno, &why);
		return stream_end_refuse(end, output ? "open it for writing" : "open it", &why);
	}
	end->own = end->connected = true;
	if (fstat(end->fd, &st))
		return stream_end_fail(end, "stat it");
	if (S_ISDIR(st.st_mode)) {
		errno = EISDIR;
		return stream_end_fail(end, "read it");
	}
	end->ready = S_ISREG(st.st_mode);
	return 0;
}

/*
 * Returns a descriptor that is readable after somebody may have opened the slave. The master does
 * not tell: it only reports a hang-up while nobody has it open. A user has few inotify instances;
 * without one, a timer has the master polled.
 */
static int
pty_watch(const struct stream_end *end, const char *path)
{
	const struct itimerspec period = { .it_interval.tv_nsec = PTY_POLL,
					   .it_value.tv_nsec = PTY_POLL };
	int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (fd >= 0 && inotify_add_watch(fd, path, IN_OPEN) >= 0)
		return fd;
	log_line(MINIVMM_DEBUG, end->stream->device,
		 "%s is polled: no inotify watch for the terminal: %s", end->option,
		 limit_error_of(LIMIT_WATCH, errno).text);
	if (fd >= 0)
		close(fd);
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (fd >= 0)
		timerfd_settime(fd, 0, &period, NULL);
	return fd;
}

static int
pty_open(struct stream_end *end, bool restored)
{
	struct termios raw;
	char path[64];
	int slave;

	end->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (end->fd < 0)
		return end_fail(end, LIMIT_PTY, "create a terminal");
	end->own = true;
	if (grantpt(end->fd) || unlockpt(end->fd) || ptsname_r(end->fd, path, sizeof(path)) ||
	    tcgetattr(end->fd, &raw))
		return stream_end_fail(end, "set up the terminal");
	cfmakeraw(&raw);
	/* The master reports POLLHUP only after the slave was open once. */
	slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0 || tcsetattr(slave, TCSANOW, &raw) || close(slave))
		return stream_end_fail(end, "set up the terminal");
	end->listen_fd = pty_watch(end, path);
	if (end->listen_fd < 0)
		return stream_end_fail(end, "watch the terminal");
	log_line(MINIVMM_INFO, end->stream->device, "%s is the terminal %s", end->option, path);
	return 0;
}

static void
pty_accept(struct stream_end *end)
{
	struct pollfd fd = { .fd = end->fd };
	char events[4096];

	while (read(end->listen_fd, events, sizeof(events)) > 0)
		;
	end->connected = poll(&fd, 1, 0) == 0; /* not hung up */
}

/* close() discards output that the peer has not read: waits until it has read all or hung up. */
static void
pty_finish(struct stream_end *end, const volatile bool *interrupted)
{
	struct timespec interval = { .tv_nsec = 10000000 };
	struct pollfd master = { .fd = end->fd };
	char path[64];

	if (ptsname_r(end->fd, path, sizeof(path)))
		return;
	while (end->connected && !*interrupted && poll(&master, 1, 0) == 0) {
		struct pollfd slave = { .events = POLLIN };
		bool unread;

		slave.fd = open(path, O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
		unread = slave.fd >= 0 && poll(&slave, 1, 0) == 1;
		close(slave.fd);
		if (!unread)
			return;
		nanosleep(&interval, NULL);
	}
}

/* Decodes an escape. *text is behind the backslash and advances. Returns the byte, or -1. */
static int
escape(const char **text)
{
	static const char digits[] = "0123456789abcdef";
	int value = 0;

	switch (*(*text)++) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case '\\':
		return '\\';
	case 'x':
		for (int i = 0; i < 2; i++, (*text)++) {
			const char *digit = **text ? strchr(digits, **text | 0x20) : NULL;

			if (!digit)
				return -1;
			value = value << 4 | (int)(digit - digits);
		}
		return value;
	default:
		return -1;
	}
}

static int
text_decode(const char *target, uint8_t **bytes, size_t *length, struct why *why)
{
	uint8_t *to = malloc(strlen(target) + 1);

	if (!to)
		return why_no_memory(why);
	*bytes = to;
	while (*target) {
		int byte = (unsigned char)*target++;

		if (byte == '\\')
			byte = escape(&target);
		if (byte < 0) {
			free(*bytes);
			return why_set(why, "has an escape other than \\n \\r \\t \\\\ \\xHH");
		}
		*to++ = (uint8_t)byte;
	}
	*length = (size_t)(to - *bytes);
	return 0;
}

const struct stream_kind stream_kinds[] = {
	{ .name = "none" },
	{ .name = "stdio", .open = stdio_open },
	{ .name = "stderr", .flags = KIND_OUTPUT_ONLY, .open = stderr_open },
	{ .name = "file",
	  .form = "PATH",
	  .flags = KIND_HOST,
	  .check = path_check,
	  .open = path_open },
	{ .name = "pty",
	  .flags = KIND_TWO_WAY,
	  .open = pty_open,
	  .accept = pty_accept,
	  .finish = pty_finish },
	{ .name = "unix",
	  .form = "PATH",
	  .flags = KIND_TWO_WAY | KIND_HOST,
	  .check = stream_unix_check,
	  .open = stream_unix_connect,
	  .finish = stream_socket_finish },
	{ .name = "unix-listen",
	  .form = "PATH",
	  .flags = KIND_TWO_WAY | KIND_HOST,
	  .check = stream_unix_check,
	  .open = stream_unix_listen,
	  .accept = stream_socket_accept,
	  .finish = stream_socket_finish },
	{ .name = "tcp",
	  .form = "HOST:PORT",
	  .flags = KIND_TWO_WAY | KIND_HOST,
	  .check = stream_tcp_check,
	  .open = stream_tcp_connect,
	  .finish = stream_socket_finish },
	{ .name = "tcp-listen",
	  .form = "HOST:PORT",
	  .flags = KIND_TWO_WAY | KIND_HOST,
	  .check = stream_tcp_check,
	  .open = stream_tcp_listen,
	  .accept = stream_socket_accept,
	  .finish = stream_socket_finish },
	{ .name = "hex", .form = "DIGITS", .flags = KIND_INPUT_ONLY, .decode = parse_hex },
	{ .name = "text", .form = "TEXT", .flags = KIND_INPUT_ONLY, .decode = text_decode },
	{ 0 },
};

const char *
stream_kind_name(size_t i, const char **form)
{
	if (i >= sizeof(stream_kinds) / sizeof(*stream_kinds))
		return NULL;
	*form = stream_kinds[i].form;
	return stream_kinds[i].name;
}
