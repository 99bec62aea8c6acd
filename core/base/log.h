/* SPDX-License-Identifier: BSD-2-Clause */
/* What we say on stderr. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdarg.h>
#include <stdbool.h>

#include "base/status.h"
#include "minivmm/plugin.h" /* enum minivmm_level */

/*
 * Says an error once, where most is known, and returns -status for callers to pass on unchanged.
 * The text names what was tried, on which object, what went wrong and what to do. Any thread.
 */
__attribute__((format(printf, 2, 3))) int fail(enum status status, const char *format, ...);

/* STATUS_HOST for an errno that says that memory or descriptors are lacking, else other. */
enum status status_for(int error, enum status other);

/* The text that this thread's last fail() said, for who tells somebody else as well; "" before. */
const char *fail_text(void);

/* One line to stderr if level is at most the level asked for. who: an instance name, or NULL. Any
 * thread. */
__attribute__((format(printf, 3, 4))) void log_line(enum minivmm_level level, const char *who,
						    const char *format, ...);
void log_vline(enum minivmm_level level, const char *who, const char *format, va_list arguments);

/* The process has one stderr, and so one level; MINIVMM_INFO until set. errors can be collected by
 * tests. */
void log_set_level(enum minivmm_level level);
bool log_wants(enum minivmm_level level);
int log_level_parse(const char *text); /* error, warn, info, debug; -1: none of them */

#endif
