/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm diff: compares registers, devices and memory of two snapshots. Ignores where and when
 * they were made.
 */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/decode.h"
#include "cli/diff.h"
#include "cli/show.h"
#include "snapshot/reader.h"
#include "snapshot/sections.h"

#define SAME 0
#define DIFFER 1
#define TROUBLE 2
#define LINES 256u /* of --hex, if --lines is not given */

/* Compares two sections, of which one may be NULL. Returns whether they differ. */
static bool
diff_sections(struct diff *diff, const char *what, const struct record *a, const struct record *b)
{
	size_t differences = 1;

	if (a && b) {
		diff->what = what;
		differences = record_compare(a, b, "", diff_item, diff);
		diff->what = NULL;
	} else
		diff_only(diff, what, a != NULL);
	return differences;
}

/*
 * Compares decoded sections (cli/decode.h) if possible. Compares the stored form if decoding fails
 * or hides the difference.
 */
static void
diff_decoded(struct diff *diff, const struct section *section, const char *what,
	     const struct record *a, const struct record *b)
{
	struct view views[2] = { 0 };

	if (section->tag != SECTION_VCPU || !a || !b || view_vcpu(&views[0], a) ||
	    view_vcpu(&views[1], b) || !diff_sections(diff, what, &views[0].root, &views[1].root))
		diff_sections(diff, what, a, b);
	view_free(&views[0]);
	view_free(&views[1]);
}

/* Compares sections with the same index. */
static void
diff_numbered(struct diff *diff, const struct section *section, const struct snapshot *a,
	      const struct snapshot *b)
{
	bool one = section->count == SECTION_ONE || section->count == SECTION_OPTIONAL;

	for (uint32_t i = 0;; i++) {
		const struct record *left = snapshot_section(a, section->tag, i);
		const struct record *right = snapshot_section(b, section->tag, i);
		char what[64];

		if (!left && !right)
			return;
		snprintf(what, sizeof(what), one ? "%s" : "%s %u", section->key, i);
		diff_decoded(diff, section, what, left, right);
	}
}

/* A section with the value of its item "name"; a section without one has the name "?". */
struct named {
	const struct record *section;
	const char *name; /* not terminated */
	uint32_t length;
};

static int
by_name(const void *a, const void *b)
{
	const struct named *x = a, *y = b;

	if (x->length != y->length)
		return x->length < y->length ? -1 : 1;
	return memcmp(x->name, y->name, x->length);
}

static struct named
named(const struct record *section)
{
	struct named named = { .section = section, .name = "?", .length = 1 };
	struct record item;

	if (record_find(section, "name", &item) && item.type == RECORD_TEXT) {
		named.name = (const char *)item.data;
		named.length = item.count;
	}
	return named;
}

/* The sections of a kind, sorted by name: malloced; NULL: no memory. */
static struct named *
sort_by_name(const struct snapshot *snapshot, uint32_t tag, uint32_t count)
{
	struct named *sorted = calloc(count + 1, sizeof(*sorted));

	for (uint32_t i = 0; sorted && i < count; i++)
		sorted[i] = named(snapshot_section(snapshot, tag, i));
	if (sorted)
		qsort(sorted, count, sizeof(*sorted), by_name);
	return sorted;
}

/*
 * Compares each section of a with the section of the same name in b. swapped: a is the second
 * snapshot; then only sections missing in b are reported.
 */
static int
diff_named(struct diff *diff, const struct section *section, const struct snapshot *a,
	   const struct snapshot *b, bool swapped)
{
	uint32_t count = snapshot_section_count(b, section->tag);
	struct named *sorted = sort_by_name(b, section->tag, count);
	const struct record *record;

	if (!sorted)
		return fail_memory("comparing %s and %s", a->path, b->path);
	for (uint32_t i = 0; (record = snapshot_section(a, section->tag, i)); i++) {
		struct named this = named(record), *other;
		char *what = NULL;

		other = bsearch(&this, sorted, count, sizeof(*sorted), by_name);
		if (asprintf(&what, "%s %.*s", section->key, (int)this.length, this.name) < 0)
			what = NULL;
		if (!swapped)
			diff_decoded(diff, section, what ? what : section->key, record,
				     other ? other->section : NULL);
		else if (!other)
			diff_decoded(diff, section, what ? what : section->key, NULL, record);
		free(what);
	}
	free(sorted);
	return 0;
}

static int
diff_snapshots(struct diff *diff, const struct snapshot *a, const struct snapshot *b)
{
	const struct section *section = NULL;
	int failed = 0;

	while (!failed && (section = section_next_loaded(section))) {
		if (!section->key)
			continue;
		diff->kind = section->key;
		if (section->named) {
			failed = diff_named(diff, section, a, b, false);
			if (!failed)
				failed = diff_named(diff, section, b, a, true);
		} else
			diff_numbered(diff, section, a, b);
	}
	diff->kind = "memory map";
	diff_sections(diff, "memory map", snapshot_section(a, SECTION_MEMORY, 0),
		      snapshot_section(b, SECTION_MEMORY, 0));
	return failed ? failed : diff_memory(diff, a, b);
}

/* Handles one option. 0 or a negative status. */
static int
take(struct diff *diff, int option, const char *value)
{
	struct why why;

	switch (option) {
	case CLI_JSON:
		diff->json = true;
		return 0;
	case CLI_HEX:
		diff->hex = true;
		return 0;
	case CLI_GUEST:
		diff->guest = true;
		return 0;
	case CLI_LINES:
		return parse_u64(value, &diff->lines, &why)
			   ? fail(STATUS_USAGE, "diff: --lines %s %s", value, why.text)
			   : 0;
	default:
		return fail(STATUS_BUG, "diff: an option has no case in the parser");
	}
}

/* Each snapshot may be the parent of the other, or have its parent beside it. */
static int
diff_files(struct diff *diff, char **paths)
{
	struct snapshot a, b;
	int failed = snapshot_open_chain(&a, paths[0], paths, 2);

	if (!failed) {
		failed = snapshot_open_chain(&b, paths[1], paths, 2);
		if (!failed) {
			diff_begin(diff, &a, &b);
			failed = diff_snapshots(diff, &a, &b);
			diff_end(diff);
		}
		snapshot_close(&b);
	}
	snapshot_close(&a);
	return failed;
}

int
cli_diff(int argc, char **argv)
{
	struct diff diff = { .out = stdout, .lines = LINES };
	struct arguments arguments;
	int failed = 0, option = ARGUMENTS_END;

	arguments_begin(&arguments, cli_command("diff"), argc, argv);
	while (!failed && (option = arguments_next(&arguments)) > 0)
		failed = take(&diff, option, arguments.value);
	if (!failed && option)
		return arguments.status ? TROUBLE : SAME;
	if (!failed && diff.lines != LINES && !diff.hex)
		failed = fail(STATUS_USAGE, "diff: --lines needs --hex");
	if (!failed)
		failed = diff_files(&diff, arguments.operands);
	if (!failed)
		failed = show_end(stdout);
	return failed ? TROUBLE : diff.any ? DIFFER : SAME;
}
