/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages on stderr. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "minivmm/plugin.h" /* for enum minivmm_level */

/*
 * Reports an error and returns -status, which callers pass on unchanged. Call it once, where most
 * is known about the error. The text names the operation, the object, the cause and the remedy. Any
 * thread.
 */
__attribute__((format(printf, 2, 3))) int fail(enum status status, const char *format, ...);

/* The same for an error that a plugin has reported: the text is for fail_text only. */
__attribute__((format(printf, 2, 3))) int fail_reported(enum status status, const char *format,
							...);

/* Reports "no memory for ..." and the remedy. Returns -STATUS_HOST. */
__attribute__((format(printf, 1, 2))) int fail_memory(const char *format, ...);

/* STATUS_HOST if the error means that a limit of the host is exhausted, else other. */
enum status status_for(int error, enum status other);

/*
 * The text of this thread's last fail(), for callers that also report it elsewhere; "" if there was
 * none.
 */
const char *fail_text(void);

/*
 * Writes one line to stderr if the level is enabled. source: the name of a device instance, or
 * NULL. Any thread.
 */
__attribute__((format(printf, 3, 4))) void log_line(enum minivmm_level level, const char *source,
						    const char *format, ...);

/*
 * Writes lines that are complete and need no escapes: those of a signal handler, or several at
 * once. Waits at most wait ms for room in stderr, then they are dropped and counted, as log_line()
 * does. Any thread, async-signal-safe.
 */
void log_ready(const char *lines, size_t length, int wait);

/*
 * Lines that are written later: a line takes several system calls, for which a stop should not
 * wait. From log_hold(held) to log_hold(NULL), the calling thread's lines are kept, but for errors
 * and for those that find no room in held. log_release() writes them. {0}: none.
 */
#define LOG_HELD 4096u /* bytes */
struct log_held {
	size_t length;
	char text[LOG_HELD];
};
void log_hold(struct log_held *held);
void log_release(struct log_held *held);

/*
 * A machine begins or ends to run. While it runs, a line for which stderr has no room is dropped
 * and counted, since no thread of a machine may wait for a reader; the next line reports the
 * number. After its end, a line waits for a second; if three have waited in vain, no line waits
 * until one finds room.
 */
void log_machine(bool runs);

/* The lines that several processes have written, in memory that they share. {0}: none. */
#define LOG_LINES 64u /* further lines are written by each */
struct log_lines {
	atomic_uint_least64_t hashes[LOG_LINES];
};
/*
 * From now on, a line is not written if one of these processes has written it, since they all do
 * the same work. NULL: this process writes each of its lines.
 */
void log_once(struct log_lines *lines);

/* The level of the process, because stderr belongs to the process. The default is MINIVMM_INFO. */
void log_set_level(enum minivmm_level level);
enum minivmm_level log_level(void);
bool log_enabled(enum minivmm_level level);
int log_level_parse(const char *text); /* error, warn, info or debug; -1: unknown */

#endif
