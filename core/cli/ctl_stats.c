/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm ctl SOCKET stats: the machine's rates, computed from two status replies. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/ctl.h"
#include "cli/show.h"
#include "machine/clock.h"

#define INTERRUPTED 2 /* a status besides 0, 1 and negative ones */

struct sample {
	char *line;
	struct json root; /* points into line */
	uint64_t at;      /* ns */
};

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

/* The increase per second. A decrease means that the machine was reset or replaced. */
static double
rate(uint64_t before, uint64_t now, uint64_t elapsed)
{
	return now > before ? (double)(now - before) * 1e9 / (double)elapsed : 0;
}

/* The value of a member, or 0 if the object does not have it. */
static uint64_t
count_of(const struct json *object, const struct json *name)
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

/* Finds the element of a list by its member name. */
static struct json
named(const struct json *list, const struct json *name)
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

/* An object or array of a sample. at is NULL if it does not exist. */
static struct json
part(const struct sample *sample, const char *name, char open)
{
	struct json value;

	if (json_find(&sample->root, name, &value) && *value.at == open)
		return value;
	return (struct json){ NULL, NULL };
}

/* Writes a name, padded to 20 columns. */
static void
show_name(FILE *out, const struct json *name)
{
	size_t length = 0;
	char *text = json_string(name, &length);

	fputs("  ", out);
	if (text)
		show_text(out, text, length);
	fprintf(out, "%*s", length < 20 ? (int)(20 - length) : 0, "");
	free(text);
}

static void
show_exits(FILE *out, const struct sample *before, const struct sample *now, const char *end)
{
	struct json exits = part(now, "exits", '{'), then = part(before, "exits", '{'), name, value;
	const char *position = NULL;
	uint64_t number;

	fprintf(out, "%-22s%12s%s\n", "exits each second", "", end);
	while (exits.at && json_next(&exits, &position, &name, &value)) {
		if (!json_is_u64(&value, &number))
			continue;
		show_name(out, &name);
		fprintf(out, "%12.0f%s\n",
			rate(count_of(&then, &name), number, now->at - before->at), end);
	}
}

static void
show_devices(FILE *out, const struct sample *before, const struct sample *now, const char *end)
{
	static const char *const kinds[] = { "reads", "writes" };
	struct json devices = part(now, "devices", '['), then = part(before, "devices", '[');
	struct json device, name;
	const char *position = NULL;

	fprintf(out, "%-22s%12s%12s%s\n", "accesses each second", "reads", "writes", end);
	while (devices.at && json_next(&devices, &position, NULL, &device)) {
		struct json old;

		if (!json_find(&device, "name", &name))
			continue;
		old = named(&then, &name);
		show_name(out, &name);
		for (size_t i = 0; i < 2; i++) {
			uint64_t was = 0, is = 0;

			json_find_u64(&device, kinds[i], &is);
			if (old.at)
				json_find_u64(&old, kinds[i], &was);
			fprintf(out, "%12.0f", rate(was, is, now->at - before->at));
		}
		fprintf(out, "%s\n", end);
	}
}

/* Prints the rates, at a terminal over the previous ones. */
static int
show(const struct sample *before, const struct sample *now, bool over)
{
	const char *end = over ? "\033[K" : "";
	uint64_t uptime;

	if (over)
		fputs("\033[H", stdout);
	if (json_find_u64(&now->root, "uptime_ns", &uptime))
		fprintf(stdout, "up for %.1f s%s\n", (double)uptime / 1e9, end);
	show_exits(stdout, before, now, end);
	show_devices(stdout, before, now, end);
	if (over)
		fputs("\033[J", stdout);
	return show_end(stdout);
}

int
ctl_stats(struct ctl *ctl, bool watch)
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
