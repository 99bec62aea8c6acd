/* SPDX-License-Identifier: BSD-2-Clause */
/* Reasons of failures. */
#include "base/why.h"

#include <errno.h>
#include <string.h>

#include "base/limit.h"
#include "base/log.h"
#include "base/text.h"

int
why_vset(struct why *why, const char *format, va_list arguments)
{
	if (!why)
		return -1;
	why->error = 0;
	text_vfit(why->text, sizeof(why->text), format, arguments);
	return -1;
}

int
why_set(struct why *why, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	why_vset(why, format, arguments);
	va_end(arguments);
	return -1;
}

int
why_errno(struct why *why, int error, const char *format, ...)
{
	va_list arguments;
	char tried[sizeof(why->text)];

	if (!why)
		return -1;
	va_start(arguments, format);
	text_vfit(tried, sizeof(tried), format, arguments);
	va_end(arguments);
	why_set(why, "%s: %s", tried, limit_error(error).text);
	why->error = error;
	return -1;
}

int
why_no_memory(struct why *why)
{
	why_set(why, "no memory%s", limit_remedy(ENOMEM).text);
	if (why)
		why->error = ENOMEM;
	return -1;
}

int
why_prefix(struct why *why, const char *format, ...)
{
	va_list arguments;
	char before[sizeof(why->text)], reason[sizeof(why->text)];
	int error;

	if (!why)
		return -1;
	error = why->error;
	memcpy(reason, why->text, sizeof(reason));
	va_start(arguments, format);
	text_vfit(before, sizeof(before), format, arguments);
	va_end(arguments);
	why_set(why, "%s%s", before, reason);
	why->error = error;
	return -1;
}

enum status
why_status(const struct why *why, enum status other)
{
	return status_for(why->error, other);
}

void
why_clear(struct why *why)
{
	why->error = 0;
	why->text[0] = '\0';
}

void
why_set_error(struct why *why, int error)
{
	why->error = error;
}
