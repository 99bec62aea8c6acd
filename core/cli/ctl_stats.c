/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm ctl SOCKET stats: the machine's rates, as a table. */
#include "cli/ctl_sample.h"
#include "cli/show.h"

static void
show_exits(FILE *out, const struct sample *before, const struct sample *now, const char *end)
{
	struct json exits = sample_part(now, "exits", '{'),
		    then = sample_part(before, "exits", '{'), name, value;
	const char *position = NULL;
	uint64_t number;

	fprintf(out, "%-22s%12s%s\n", "exits each second", "", end);
	while (exits.at && json_next(&exits, &position, &name, &value)) {
		if (!json_is_u64(&value, &number))
			continue;
		sample_name(out, &name);
		fprintf(out, "%12.0f%s\n",
			sample_rate(sample_count(&then, &name), number, now->at - before->at), end);
	}
}

static void
show_devices(FILE *out, const struct sample *before, const struct sample *now, const char *end)
{
	static const char *const kinds[] = { "reads", "writes" };
	struct json devices = sample_part(now, "devices", '['),
		    then = sample_part(before, "devices", '[');
	struct json device, name;
	const char *position = NULL;

	fprintf(out, "%-22s%12s%12s%s\n", "accesses each second", "reads", "writes", end);
	while (devices.at && json_next(&devices, &position, NULL, &device)) {
		struct json old;

		if (!json_find(&device, "name", &name))
			continue;
		old = sample_named(&then, &name);
		sample_name(out, &name);
		for (size_t i = 0; i < 2; i++) {
			uint64_t was = 0, is = 0;

			json_find_u64(&device, kinds[i], &is);
			if (old.at)
				json_find_u64(&old, kinds[i], &was);
			fprintf(out, "%12.0f", sample_rate(was, is, now->at - before->at));
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
	return sample_watch(ctl, watch, show);
}
