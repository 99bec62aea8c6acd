/* SPDX-License-Identifier: BSD-2-Clause */
/* Log lines and error messages. Each is one write(2), so that threads do not mix them. */
#include "base/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/escape.h"

/* The only mutable static variable of the core: stderr belongs to the process, not to a machine. */
static atomic_int log_level = MINIVMM_INFO;

static _Thread_local char failure[1024];

static const char *const level_names[] = { "error", "warn", "info", "debug" };

void
log_set_level(enum minivmm_level level)
{
	atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
}

bool
log_enabled(enum minivmm_level level)
{
	return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
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
log_vline(enum minivmm_level level, const char *source, const char *format, va_list arguments)
{
	char line[1024], shown[4 * sizeof(line)];
	int head, body;
	size_t length;

	if (!log_enabled(level))
		return;
	head = snprintf(line, sizeof(line), "minivmm: %s%s%s",
			level == MINIVMM_WARNING ? "warning: " : "", source ? source : "",
			source ? ": " : "");
	body = vsnprintf(line + head, sizeof(line) - (size_t)head, format, arguments);
	if (body < 0)
		return;
	/* Names and texts from outside must not control the terminal. */
	length = escape_text(shown, sizeof(shown) - 1, line, strlen(line));
	shown[length++] = '\n';
	for (size_t done = 0; done < length;) {
		ssize_t n = write(STDERR_FILENO, shown + done, length - done);

		if (n <= 0)
			return; /* stderr is gone */
		done += (size_t)n;
	}
}

void
log_line(enum minivmm_level level, const char *source, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_vline(level, source, format, arguments);
	va_end(arguments);
}

enum status
status_for(int error, enum status other)
{
	return error == ENOMEM || error == EMFILE || error == ENFILE ? STATUS_HOST : other;
}

int
fail(enum status status, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(failure, sizeof(failure), format, arguments);
	va_end(arguments);
	log_line(MINIVMM_ERROR, NULL, "%s", failure);
	return -(int)status;
}

const char *
fail_text(void)
{
	return failure;
}
