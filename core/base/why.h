/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reasons of failures. There are two ways to report an error:
 *
 *   fail() prints it and returns a negative status, which callers pass on;
 *   a function that knows too little for a message, or whose caller may ignore the error, takes a
 *   struct why as its last parameter. It returns 0, or -1 with the reason in why.
 *
 * The caller of the second kind adds what it tried, and reports the error. Success leaves why
 * unchanged.
 */
#ifndef BASE_WHY_H
#define BASE_WHY_H

#include <stdarg.h>

#include "base/status.h"

struct why {
	int error; /* the errno of the cause, or 0 */
	char text[512];
};

/* Each sets the reason and returns -1. why may be NULL if the caller does not need the reason. */
__attribute__((format(printf, 2, 3))) int why_set(struct why *why, const char *format, ...);
int why_vset(struct why *why, const char *format, va_list arguments);
/* Appends ": " and the text of error. */
__attribute__((format(printf, 3, 4))) int why_errno(struct why *why, int error, const char *format,
						    ...);
int why_no_memory(struct why *why); /* "no memory" */
void why_clear(struct why *why);
/* Sets the errno of the cause. */
void why_set_error(struct why *why, int error);
/* Prepends a text to the reason: "timers: " to "deadline is missing". */
__attribute__((format(printf, 2, 3))) int why_prefix(struct why *why, const char *format, ...);

/* The status to report: STATUS_HOST if the host lacks memory or descriptors, else other. */
enum status why_status(const struct why *why, enum status other);

#endif
