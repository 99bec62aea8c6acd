/* SPDX-License-Identifier: BSD-2-Clause */
/* Takes samples of a machine's status. */
#include "cli/ctl_sample.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/show.h"
#include "machine/clock.h"

#define INTERRUPTED 2 /* a status besides 0, 1 and negative ones */

/* Waits at most ms (-1: forever) for data to read. Returns false after Ctrl-C. */
static bool
wait_for(int fd, int signals, int ms)
{
	struct pollfd fds[] = { { .fd = signals, .events = POLLIN },
				{ .fd = fd, .events = POLLIN } };

	return poll(fds, 2, ms) <= 0 || !fds[0].revents;
}

/* 0, INTERRUPTED, or the result of ctl_reply. */
static int
take(struct ctl *ctl, int signals, struct sample *sample)
{
	int status = ctl_send(ctl, "status\n", -1);

	while (!status && !(sample->line = ctl_line(ctl)))
		status = wait_for(ctl->fd, signals, -1) ? ctl_read(ctl) : INTERRUPTED;
	sample->at = clock_host();
	if (!status)
		status = ctl_reply(ctl, sample->line, &sample->root);
	return status;
}

double
sample_rate(uint64_t before, uint64_t now, uint64_t elapsed)
{
	return now > before ? (double)(now - before) * 1e9 / (double)elapsed : 0;
}

uint64_t
sample_count(const struct json *object, const struct json *name)
{
	const char *position = NULL;
	struct json key, value;
	uint64_t number;

	while (object->at && json_next(object, &position, &key, &value))
		if (key.end - key.at == name->end - name->at &&
		    !memcmp(key.at, name->at, (size_t)(key.end - key.at)))
			return json_is_u64(&value, &number) ? number : 0;
	return 0;
}

struct json
sample_named(const struct json *list, const struct json *name)
{
	const char *position = NULL;
	struct json element, value;

	while (list->at && json_next(list, &position, NULL, &element))
		if (json_find(&element, "name", &value) &&
		    value.end - value.at == name->end - name->at &&
		    !memcmp(value.at, name->at, (size_t)(value.end - value.at)))
			return element;
	return (struct json){ NULL, NULL };
}

struct json
sample_part(const struct sample *sample, const char *name, char open)
{
	struct json value;

	if (json_find(&sample->root, name, &value) && *value.at == open)
		return value;
	return (struct json){ NULL, NULL };
}

void
sample_name(FILE *out, const struct json *name)
{
	size_t length = 0;
	char *text = json_string(name, &length);

	fputs("  ", out);
	if (text)
		show_text(out, text, length);
	fprintf(out, "%*s", length < 20 ? (int)(20 - length) : 0, "");
	free(text);
}

int
sample_watch(struct ctl *ctl, bool watch, sample_show *show)
{
	struct sample before = { 0 }, now;
	int status, signals = -1;
	bool over = false;
	sigset_t set;

	if (watch) {
		sigemptyset(&set);
		sigaddset(&set, SIGINT);
		sigprocmask(SIG_BLOCK, &set, NULL);
		signals = signalfd(-1, &set, SFD_CLOEXEC);
		over = show_can_move();
		if (over)
			fputs("\033[2J", stdout);
	}
	status = take(ctl, signals, &before);
	while (!status && wait_for(-1, signals, 1000)) {
		now = (struct sample){ 0 };
		status = take(ctl, signals, &now);
		if (!status)
			status = show(&before, &now, over);
		free(before.line);
		before = now;
		if (!watch)
			break;
	}
	free(before.line);
	if (signals >= 0)
		close(signals);
	return status == INTERRUPTED ? 0 : status < 0 ? -status : status;
}
