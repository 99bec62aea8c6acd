/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a snapshot's config, and its state into a machine that was built from the config. */
#include "snapshot/restore.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "machine/layout.h"
#include "snapshot/host.h"
#include "snapshot/sections.h"

/*
 * Reports that a section does not fit, and how the host that made it differs from this one. If why
 * is a lack of memory or descriptors, it reports that instead. Returns the status.
 */
static int
fail_unfit(const struct snapshot *snapshot, uint32_t tag, uint32_t index, const struct why *why)
{
	const struct record *made = snapshot_section(snapshot, SECTION_HOST, 0);
	struct record_writer writer = { 0 };
	struct record here;
	char there_text[256], here_text[256] = "", name[5];

	if (why_status(why, STATUS_SNAPSHOT) == STATUS_HOST)
		return fail_memory("restoring %s: section %s %u", snapshot->path,
				   snapshot_tag_name(tag, name), index);
	snapshot_host_save(&writer, NULL);
	if (!writer.failed && !record_open(writer.data, writer.length, &here, NULL))
		snapshot_host_text(&here, here_text, sizeof(here_text));
	record_writer_free(&writer);
	snapshot_host_text(made, there_text, sizeof(there_text));
	snapshot_tag_name(tag, name);
	/* The same host: it is not the reason. */
	if (!strcmp(there_text, here_text))
		return fail(STATUS_SNAPSHOT, "cannot restore %s: section %s %u: %s", snapshot->path,
			    name, index, why->text);
	return fail(STATUS_SNAPSHOT,
		    "cannot restore %s: section %s %u: %s (made on %s; this is %s)", snapshot->path,
		    name, index, why->text, there_text, here_text);
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
	return fail_unfit(snapshot, SECTION_CONFIG, 0, &why);
}

int
snapshot_check(const struct snapshot *snapshot, const struct config *config)
{
	const struct section_context context = { .config = config, .snapshot = snapshot };
	const struct section *s = NULL;
	struct why why;

	while ((s = section_next_loaded(s))) {
		uint32_t count = section_count(s, &context);
		uint32_t saved = snapshot_section_count(snapshot, s->tag);

		if (s->count != SECTION_OPTIONAL && saved != count) {
			why_set(&why, "it has the state of %u %ss, the machine has %u", saved,
				s->name, count);
			return fail_unfit(snapshot, s->tag, 0, &why);
		}
		for (uint32_t i = 0; i < saved && s->valid; i++)
			if (s->valid(&context, i, snapshot_section(snapshot, s->tag, i), &why))
				return fail_unfit(snapshot, s->tag, i, &why);
	}
	return 0;
}

/* Checks that sections of one kind, from first up to end, fit the machine. */
static int
check(const struct section_context *context, const struct section *s, uint32_t first, uint32_t end)
{
	struct why why;

	for (uint32_t i = first; i < end && s->check; i++)
		if (s->check(context, i, snapshot_section(context->snapshot, s->tag, i), &why))
			return fail_unfit(context->snapshot, s->tag, i, &why);
	return 0;
}

int
snapshot_check_device(const struct snapshot *snapshot, struct devices *devices, uint32_t index)
{
	struct section_context context = section_context(NULL, devices);

	context.snapshot = snapshot;
	return check(&context, section_find(SECTION_DEVICE), index, index + 1);
}

/* Checks all sections before any of them is loaded; those of devices are checked already. */
static int
check_all(const struct section_context *context)
{
	const struct section *s = NULL;
	int failed = 0;

	while (!failed && (s = section_next_loaded(s)))
		if (s->tag != SECTION_DEVICE)
			failed =
			    check(context, s, 0, snapshot_section_count(context->snapshot, s->tag));
	return failed;
}

/* state_only: for a reset, which restores memory itself and does not set the time of day. */
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
				r = fail_unfit(snapshot, s->tag, i, &why);
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
