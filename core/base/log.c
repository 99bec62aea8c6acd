/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines and error messages. Each is one write(2), so that threads do not mix them. While a
 * machine runs, no line waits for a reader of stderr: it is dropped and counted instead. */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/escape.h"
#include "base/file.h"
#include "base/limit.h"
#include "base/text.h"

/* The only mutable static variables of the core: stderr belongs to the process, not to a machine.
 */
static atomic_int level_now = MINIVMM_INFO;
static atomic_int log_patience = -1; /* ms to wait for room in stderr; -1: any time */
static atomic_ullong log_dropped;    /* lines since the last one that was written */
static struct log_lines *_Atomic log_lines;

static _Thread_local char failure[1024];

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void
log_set_level(enum minivmm_level level)
{
	atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

enum minivmm_level
log_level(void)
{
	return (enum minivmm_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

bool
log_enabled(enum minivmm_level level)
{
	return (int)level <= atomic_load_explicit(&level_now, memory_order_relaxed);
}

int
log_level_parse(const char *text)
{
	for (int i = 0; i < 4; i++)
		if (!strcmp(text, level_names[i]))
			return i;
	return -1;
}

void
log_machine(bool runs)
{
	atomic_store(&log_patience, runs ? 0 : 1000);
}

void
log_once(struct log_lines *lines)
{
	atomic_store(&log_lines, lines);
}

/* Whether one of the processes of log_once has written this line. If not, this one does now. */
static bool
is_written(const char *line, size_t length)
{
	struct log_lines *lines = atomic_load(&log_lines);
	uint64_t hash = 0xcbf29ce484222325; /* FNV-1a */

	for (size_t i = 0; i < length && lines; i++)
		hash = (hash ^ (uint8_t)line[i]) * 0x100000001b3;
	for (size_t i = 0; i < LOG_LINES && lines; i++) {
		uint64_t found = 0;

		if (atomic_compare_exchange_strong(&lines->hashes[i], &found, hash | 1))
			return false;
		if (found == (hash | 1))
			return true;
	}
	return false;
}

static bool
put_all(const char *line, size_t length)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = write(STDERR_FILENO, line + done, length - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false; /* stderr is gone */
		done += (size_t)n;
	}
	return true;
}

/*
 * Writes if there is room. O_NONBLOCK of stderr would affect the processes that share it; so a pipe
 * or terminal is opened again, for this line only, since anybody may replace stderr meanwhile.
 */
static bool
put_now(const char *line, size_t length)
{
	int fd = file_reopen(STDERR_FILENO);
	ssize_t n = write(fd < 0 ? STDERR_FILENO : fd, line, length);

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)length;
}

/* Writes to stderr. false: the line is lost. */
static bool
put(const char *line, size_t length)
{
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
	int patience = atomic_load(&log_patience);
	struct stat st;

	if (patience < 0 || fstat(STDERR_FILENO, &st) || S_ISREG(st.st_mode))
		return put_all(line, length);
	if (poll(&room, 1, patience) != 1)
		return false;
	if (S_ISSOCK(st.st_mode))
		return send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL) ==
		       (ssize_t)length;
	return put_now(line, length);
}

/* Writes a line, behind the number of lines that were dropped before it: with one write, since a
 * small pipe takes no second one before it is read. */
static void
put_line(const char *line, size_t length)
{
	unsigned long long dropped = atomic_exchange(&log_dropped, 0);
	char text[128 + PIPE_BUF];
	int head = 0;

	if (dropped)
		head = snprintf(text, sizeof(text),
				"minivmm: warning: %llu messages were dropped, because nobody read "
				"stderr\n",
				dropped);
	memcpy(text + head, line, length);
	if (!put(text, (size_t)head + length))
		atomic_fetch_add(&log_dropped, dropped + 1);
}

void
log_line(enum minivmm_level level, const char *source, const char *format, ...)
{
	char line[1024],
	    shown[4 * sizeof(line)]; /* at most PIPE_BUF: a pipe takes all or nothing */
	int head, error = errno;
	va_list arguments;
	size_t length;

	if (!log_enabled(level))
		return;
	head = snprintf(line, sizeof(line), "minivmm: %s%s%s",
			level == MINIVMM_WARNING ? "warning: " : "", source ? source : "",
			source ? ": " : "");
	va_start(arguments, format);
	text_vfit(line + head, sizeof(line) - (size_t)head, format, arguments);
	va_end(arguments);
	/* Names and texts from outside must not control the terminal. */
	length = escape_text(shown, sizeof(shown) - 1, line, strlen(line));
	shown[length++] = '\n';
	if (!is_written(shown, length))
		put_line(shown, length);
	errno = error;
}

enum status
status_for(int error, enum status other)
{
	return limit_status(LIMIT_OTHER, error, other);
}

int
fail(enum status status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_vfit(failure, sizeof(failure), format, arguments);
	va_end(arguments);
	log_line(MINIVMM_ERROR, NULL, "%s", failure);
	return -(int)status;
}

int
fail_reported(enum status status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_vfit(failure, sizeof(failure), format, arguments);
	va_end(arguments);
	return -(int)status;
}

int
fail_memory(const char *format, ...)
{
	char what[512];
	va_list arguments;

	va_start(arguments, format);
	text_vfit(what, sizeof(what), format, arguments);
	va_end(arguments);
	return fail(STATUS_HOST, "no memory for %s%s", what, limit_remedy(ENOMEM).text);
}

const char *
fail_text(void)
{
	return failure;
}
