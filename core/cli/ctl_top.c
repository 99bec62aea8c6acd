/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm ctl SOCKET top: a screen with the machine's rates as bars. */
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/ctl_sample.h"
#include "cli/show.h"

#define COLUMNS 80u /* of a terminal that does not say */
#define ROWS 24u
#define NUMBERS 48u /* columns before a bar */
#define BAR_LEAST 10u

struct screen {
	const struct sample *before, *now;
	const char *end;        /* of a line */
	unsigned columns, rows; /* rows: that are left */
};

static void
measure(struct screen *screen)
{
	struct winsize size;

	screen->columns = COLUMNS;
	screen->rows = UINT32_MAX; /* no terminal: all lines */
	if (!show_can_move())
		return;
	screen->rows = ROWS;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
		return;
	screen->columns = size.ws_col;
	screen->rows = size.ws_row;
}

/* Whether there is room for another line, and for the cursor below it. */
static bool
take_row(struct screen *screen)
{
	if (screen->rows < 2)
		return false;
	screen->rows--;
	return true;
}

/* part of whole: 0 to 1. */
static void
bar(const struct screen *screen, double part)
{
	unsigned width =
	    screen->columns > NUMBERS + BAR_LEAST ? screen->columns - NUMBERS - 1 : BAR_LEAST;
	unsigned filled = (unsigned)((part < 1 ? part : 1) * width + 0.5);

	for (unsigned i = 0; i < filled; i++)
		fputc('#', stdout);
}

static void
show_head(struct screen *screen)
{
	const struct json *root = &screen->now->root;
	uint64_t uptime = 0, memory = 0, dirty;
	struct json state;
	size_t length = 0;
	char *text = json_find(root, "state", &state) ? json_string(&state, &length) : NULL;

	json_find_u64(root, "uptime_ns", &uptime);
	json_find_u64(root, "memory_bytes", &memory);
	if (take_row(screen)) {
		fprintf(stdout, "up for %.1f s, ", (double)uptime / 1e9);
		if (text)
			show_text(stdout, text, length);
		fprintf(stdout, ", %llu MiB of memory", (unsigned long long)memory >> 20);
		if (json_find_u64(root, "dirty_pages_per_second", &dirty))
			fprintf(stdout, ", %llu pages written/s", (unsigned long long)dirty);
		fprintf(stdout, "%s\n", screen->end);
	}
	free(text);
}

/* The progress of a snapshot or a core that is being written. */
static void
show_progress(struct screen *screen, const char *what)
{
	struct json progress = sample_part(screen->now, what, '{');
	uint64_t done = 0, total = 0;

	if (!progress.at || !json_find_u64(&progress, "done_bytes", &done) ||
	    !json_find_u64(&progress, "total_bytes", &total) || !total || !take_row(screen))
		return;
	fprintf(stdout, "%-20s%11.0f %%%16s", what, (double)done * 100 / (double)total, "");
	bar(screen, (double)done / (double)total);
	fprintf(stdout, "%s\n", screen->end);
}

static void
show_vcpus(struct screen *screen)
{
	struct json vcpus = sample_part(screen->now, "vcpus", '['),
		    then = sample_part(screen->before, "vcpus", '['), vcpu, old = { 0 };
	const char *position = NULL, *before = NULL;
	uint64_t elapsed = screen->now->at - screen->before->at;

	while (vcpus.at && json_next(&vcpus, &position, NULL, &vcpu)) {
		uint64_t id = 0, exits = 0, old_exits = 0, time = 0, old_time = 0;
		double busy;

		if (then.at && !json_next(&then, &before, NULL, &old))
			then.at = NULL;
		if (then.at) {
			json_find_u64(&old, "exits", &old_exits);
			json_find_u64(&old, "cpu_ns", &old_time);
		}
		json_find_u64(&vcpu, "id", &id);
		json_find_u64(&vcpu, "exits", &exits);
		json_find_u64(&vcpu, "cpu_ns", &time);
		busy = sample_rate(old_time, time, elapsed) / 1e9;
		if (!take_row(screen))
			return;
		fprintf(stdout, "vCPU %-13llu%12.0f exits/s %5.0f %% ", (unsigned long long)id,
			sample_rate(old_exits, exits, elapsed), busy * 100);
		bar(screen, busy);
		fprintf(stdout, "%s\n", screen->end);
	}
}

static void
show_exits(struct screen *screen)
{
	struct json exits = sample_part(screen->now, "exits", '{'),
		    then = sample_part(screen->before, "exits", '{'), name, value;
	const char *position = NULL;
	uint64_t number;

	if (!exits.at || !take_row(screen))
		return;
	fputs("exits/s", stdout);
	while (json_next(&exits, &position, &name, &value)) {
		size_t length = 0;
		char *text = json_is_u64(&value, &number) ? json_string(&name, &length) : NULL;

		if (!text)
			continue;
		fputs("  ", stdout);
		show_text(stdout, text, length);
		fprintf(stdout, " %.0f",
			sample_rate(sample_count(&then, &name), number,
				    screen->now->at - screen->before->at));
		free(text);
	}
	fprintf(stdout, "%s\n", screen->end);
}

/* The accesses of a device per second; false: it has no name. */
static bool
accesses(const struct screen *screen, const struct json *device, struct json *name, double rates[2])
{
	static const char *const kinds[] = { "reads", "writes" };
	struct json then = sample_part(screen->before, "devices", '['), old;

	if (!json_find(device, "name", name))
		return false;
	old = sample_named(&then, name);
	for (size_t i = 0; i < 2; i++) {
		uint64_t was = 0, is = 0;

		json_find_u64(device, kinds[i], &is);
		if (old.at)
			json_find_u64(&old, kinds[i], &was);
		rates[i] = sample_rate(was, is, screen->now->at - screen->before->at);
	}
	return true;
}

/* The bars of all devices have the scale of the busiest one. */
static void
show_devices(struct screen *screen)
{
	struct json devices = sample_part(screen->now, "devices", '['), device, name;
	const char *position = NULL;
	double most = 1, rates[2];
	unsigned left_out = 0;

	while (devices.at && json_next(&devices, &position, NULL, &device))
		if (accesses(screen, &device, &name, rates) && rates[0] + rates[1] > most)
			most = rates[0] + rates[1];
	if (take_row(screen))
		fprintf(stdout, "%-22s%12s%12s%s\n", "devices", "reads/s", "writes/s", screen->end);
	position = NULL;
	while (devices.at && json_next(&devices, &position, NULL, &device)) {
		if (!accesses(screen, &device, &name, rates))
			continue;
		if (screen->rows < 3) { /* the last line is for the number */
			left_out++;
			continue;
		}
		take_row(screen);
		sample_name(stdout, &name);
		fprintf(stdout, "%12.0f%12.0f  ", rates[0], rates[1]);
		bar(screen, (rates[0] + rates[1]) / most);
		fprintf(stdout, "%s\n", screen->end);
	}
	if (left_out && take_row(screen))
		fprintf(stdout, "  and %u more%s\n", left_out, screen->end);
}

static int
show(const struct sample *before, const struct sample *now, bool over)
{
	struct screen screen = { .before = before, .now = now, .end = over ? "\033[K" : "" };

	measure(&screen);
	if (over)
		fputs("\033[H", stdout);
	show_head(&screen);
	show_vcpus(&screen);
	show_exits(&screen);
	show_progress(&screen, "snapshot");
	show_progress(&screen, "core");
	show_devices(&screen);
	if (over)
		fputs("\033[J", stdout);
	return show_end(stdout);
}

int
ctl_top(struct ctl *ctl)
{
	return sample_watch(ctl, true, show);
}
