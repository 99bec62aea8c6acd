/* SPDX-License-Identifier: BSD-2-Clause */
/* Fills a machine that was built from a snapshot's config with the snapshot's state. */
#include "snapshot/restore.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "machine/layout.h"
#include "snapshot/host.h"
#include "snapshot/sections.h"

/*
 * What is unfit about a section, and how the host that made it differs from this one; unless this
 * one lacks memory or descriptors.
 */
static int
unfit(const struct snapshot *snapshot, uint32_t tag, uint32_t index, const struct why *why)
{
	const struct record *made = snapshot_section(snapshot, SECTION_HOST, 0);
	struct record_writer writer = { 0 };
	struct record here;
	char there_text[256], here_text[256] = "", name[5];

	if (why_status(why, STATUS_SNAPSHOT) == STATUS_HOST)
		return fail(STATUS_HOST, "can't load %s, section %s %u: no memory", snapshot->path,
			    snapshot_tag_name(tag, name), index);
	snapshot_host_save(&writer, NULL);
	if (!writer.failed && !record_open(writer.data, writer.length, &here, NULL))
		snapshot_host_text(&here, here_text, sizeof(here_text));
	record_writer_free(&writer);
	snapshot_host_text(made, there_text, sizeof(there_text));
	snapshot_tag_name(tag, name);
	/* Made on one like this: it is not the host that does not fit. */
	if (!strcmp(there_text, here_text))
		return fail(STATUS_SNAPSHOT, "%s does not fit, section %s %u: %s", snapshot->path,
			    name, index, why->text);
	return fail(STATUS_SNAPSHOT, "%s does not fit, section %s %u: %s (made on %s; this is %s)",
		    snapshot->path, name, index, why->text, there_text, here_text);
}

int
snapshot_config(const struct snapshot *snapshot, struct config *config)
{
	struct why why;

	if (config_load(config, snapshot_section(snapshot, SECTION_CONFIG, 0), &why))
		goto unfit;
	if (!layout_check_memory((struct layout_range){ config->vm.memory_at, config->vm.memory },
				 config->vm.irqchip, config->cpu.mode == MODE_LONG, &why))
		return 0;
	why_prefix(&why, "its memory ");
unfit:
	return unfit(snapshot, SECTION_CONFIG, 0, &why);
}

/* Everything that can be known to be unfit, before anything is changed. */
static int
check_all(const struct section_context *context)
{
	const struct snapshot *snapshot = context->snapshot;
	const struct section *s = NULL;
	struct why why;

	while ((s = section_next_loaded(s))) {
		uint32_t count = section_count(s, context);
		uint32_t saved = snapshot_section_count(snapshot, s->tag);

		if (s->count != SECTION_OPTIONAL && saved != count) {
			why_set(&why, "it has the state of %u %ss, the machine has %u", saved,
				s->name, count);
			return unfit(snapshot, s->tag, 0, &why);
		}
		for (uint32_t i = 0; i < saved && s->check; i++)
			if (s->check(context, i, snapshot_section(snapshot, s->tag, i), &why))
				return unfit(snapshot, s->tag, i, &why);
	}
	return 0;
}

/* state_only: for a reset, which restores memory itself and leaves the time of day alone. */
static int
load_all(const struct section_context *context, bool state_only)
{
	const struct snapshot *snapshot = context->snapshot;
	const struct section *s = NULL;
	struct why why;
	int r = 0;

	while (!r && (s = section_next_loaded(s))) {
		uint32_t count =
		    s->load && (s->state || !state_only) ? section_count(s, context) : 0;

		for (uint32_t i = 0; i < count && !r; i++) {
			r = s->load(context, i, snapshot_section(snapshot, s->tag, i), &why);
			if (r == -1)
				r = unfit(snapshot, s->tag, i, &why);
		}
	}
	return r;
}

int
snapshot_load(const struct snapshot *snapshot, struct machine *machine, struct devices *devices)
{
	struct section_context context = section_context(machine, devices);
	int failed;

	context.snapshot = snapshot;
	failed = check_all(&context);
	return failed ? failed : load_all(&context, false);
}

int
snapshot_load_state(const struct snapshot *snapshot, struct machine *machine,
		    struct devices *devices)
{
	struct section_context context = section_context(machine, devices);

	context.snapshot = snapshot;
	return load_all(&context, true);
}
