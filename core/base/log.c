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

#define VAIN_MAX 3u

/* The only mutable static variables of the core: stderr belongs to the process, not to a machine.
 */
static atomic_int level_now = MINIVMM_INFO;
static atomic_int log_patience = -1; /* ms to wait for room in stderr; -1: any time */
static atomic_ullong log_dropped;    /* lines since the last one that was written */
static atomic_uint log_vain;         /* lines in a row that waited and were dropped */
static atomic_bool log_cut;          /* the last line that was written lacks its end */
static struct log_lines *_Atomic log_lines;

static _Thread_local char failure[1024];
static _Thread_local struct log_held *holding;

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
static ssize_t
put_now(const char *line, size_t length)
{
	int fd = file_reopen(STDERR_FILENO);
	ssize_t n = write(fd < 0 ? STDERR_FILENO : fd, line, length);

	if (fd >= 0)
		close(fd);
	return n;
}

/* Writes to stderr, and waits at most patience ms for room; -1: any time. false: the line is lost.
 */
static bool
put(const char *line, size_t length, int patience)
{
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
	struct stat st;
	ssize_t n;

	if (patience < 0 || fstat(STDERR_FILENO, &st) || S_ISREG(st.st_mode))
		return put_all(line, length);
	if (atomic_load(&log_vain) >= VAIN_MAX)
		patience = 0;
	if (poll(&room, 1, patience) != 1) {
		atomic_fetch_add(&log_vain, patience > 0);
		return false;
	}
	atomic_store(&log_vain, 0);
	n = S_ISSOCK(st.st_mode) ? send(STDERR_FILENO, line, length, MSG_DONTWAIT | MSG_NOSIGNAL)
				 : put_now(line, length);
	/* A terminal takes a part of a line: the next one must not continue it. */
	if (n > 0 && n < (ssize_t)length)
		atomic_store(&log_cut, true);
	return n == (ssize_t)length;
}

/* The beginning of a number as text. Async-signal-safe, unlike snprintf(3). */
static size_t
put_number(char *to, unsigned long long number)
{
	char digits[24];
	size_t count = 0;

	do
		digits[count++] = (char)('0' + number % 10);
	while (number /= 10);
	for (size_t i = 0; i < count; i++)
		to[i] = digits[count - 1 - i];
	return count;
}

/* Writes a line, behind the number of lines that were dropped before it: with one write, since a
 * small pipe takes no second one before it is read. */
static void
put_line(const char *line, size_t length, int patience)
{
	static const char before[] = "minivmm: warning: ",
			  behind[] = " messages were dropped, because nobody read stderr\n";
	unsigned long long dropped = atomic_exchange(&log_dropped, 0);
	bool cut = atomic_exchange(&log_cut, false);
	char text[128 + PIPE_BUF];
	size_t head = 0;

	if (cut)
		text[head++] = '\n';
	if (dropped) {
		memcpy(text + head, before, sizeof(before) - 1);
		head += sizeof(before) - 1;
		head += put_number(text + head, dropped);
		memcpy(text + head, behind, sizeof(behind) - 1);
		head += sizeof(behind) - 1;
	}
	memcpy(text + head, line, length);
	if (put(text, head + length, patience))
		return;
	atomic_fetch_add(&log_dropped, dropped + 1);
	if (cut)
		atomic_store(&log_cut, true);
}

void
log_ready(const char *lines, size_t length, int wait)
{
	int error = errno;

	put_line(lines, length < PIPE_BUF ? length : PIPE_BUF, wait);
	errno = error;
}

void
log_hold(struct log_held *held)
{
	holding = held;
}

void
log_release(struct log_held *held)
{
	if (held->length)
		log_ready(held->text, held->length, atomic_load(&log_patience));
	held->length = 0;
}

/* Keeps a line for later, if this thread does so. */
static bool
is_held(enum minivmm_level level, const char *line, size_t length)
{
	if (!holding || level == MINIVMM_ERROR || length > sizeof(holding->text) - holding->length)
		return false;
	memcpy(holding->text + holding->length, line, length);
	holding->length += length;
	return true;
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
	if (!is_written(shown, length) && !is_held(level, shown, length))
		put_line(shown, length, atomic_load(&log_patience));
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
