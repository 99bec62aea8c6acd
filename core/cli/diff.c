/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm diff: compares registers, devices and memory of two snapshots. Ignores where and when
 * they were made.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/decode.h"
#include "cli/show.h"
#include "snapshot/reader.h"
#include "snapshot/sections.h"

#define SAME 0
#define DIFFER 1
#define TROUBLE 2
#define ELEMENTS_SHOWN 8

struct diff {
	FILE *out;
	const char *what; /* "vcpu 0", "device serial0" */
	bool any;
};

static void
show_where(const struct diff *diff, const char *path)
{
	show_text(diff->out, diff->what, strlen(diff->what));
	fputc(' ', diff->out);
	show_text(diff->out, path, strlen(path));
}

/* Prints only the differing elements of long arrays of the same length. */
static void
show_elements(const struct diff *diff, const char *path, const struct record *a,
	      const struct record *b)
{
	uint32_t shown = 0, more = 0;

	for (uint32_t i = 0; i < a->count; i++) {
		if (record_number(a, i) == record_number(b, i))
			continue;
		if (shown++ >= ELEMENTS_SHOWN) {
			more++;
			continue;
		}
		show_where(diff, path);
		fprintf(diff->out, "[%u]: 0x%llx -> 0x%llx\n", i,
			(unsigned long long)record_number(a, i),
			(unsigned long long)record_number(b, i));
	}
	if (more) {
		show_where(diff, path);
		fprintf(diff->out, ": and %u more elements\n", more);
	}
}

static void
differs(void *context, const char *path, const struct record *a, const struct record *b)
{
	struct diff *diff = context;

	diff->any = true;
	if (a && b && a->array && b->array && a->type == b->type && a->count == b->count &&
	    a->count > 4) {
		show_elements(diff, path, a, b);
		return;
	}
	show_where(diff, path);
	fputs(": ", diff->out);
	if (a)
		show_value(diff->out, a);
	else
		fputs("(not there)", diff->out);
	fputs(" -> ", diff->out);
	if (b)
		show_value(diff->out, b);
	else
		fputs("(not there)", diff->out);
	fputc('\n', diff->out);
}

/* Compares two sections, of which one may be NULL. Returns whether they differ. */
static bool
diff_sections(struct diff *diff, const char *what, const struct record *a, const struct record *b)
{
	size_t differences = 1;

	if (a && b) {
		diff->what = what;
		differences = record_compare(a, b, "", differs, diff);
		diff->what = NULL;
	} else {
		diff->any = true;
		show_text(diff->out, what, strlen(what));
		fprintf(diff->out, ": only in the %s\n", a ? "first" : "second");
	}
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
		return fail(STATUS_HOST, "cannot compare %s and %s: no memory", a->path, b->path);
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

static void
diff_run(void *context, gpa_t gpa, uint64_t size)
{
	struct diff *diff = context;

	diff->any = true;
	fprintf(diff->out, "memory 0x%llx to 0x%llx: %llu %s\n", (unsigned long long)gpa,
		(unsigned long long)(gpa + size - 1), (unsigned long long)(size / PAGE_SIZE),
		size == PAGE_SIZE ? "page differs" : "pages differ");
}

/* Pages that exist in one snapshot only show as a difference of the memory maps. */
static int
diff_memory(struct diff *diff, const struct snapshot *a, const struct snapshot *b)
{
	diff_sections(diff, "memory map", snapshot_section(a, SECTION_MEMORY, 0),
		      snapshot_section(b, SECTION_MEMORY, 0));
	return snapshot_compare(a, b, diff_run, diff);
}

static int
diff_snapshots(struct diff *diff, const struct snapshot *a, const struct snapshot *b)
{
	const struct section *section = NULL;
	int failed = 0;

	while (!failed && (section = section_next_loaded(section))) {
		if (!section->key)
			continue;
		if (section->named) {
			failed = diff_named(diff, section, a, b, false);
			if (!failed)
				failed = diff_named(diff, section, b, a, true);
		} else
			diff_numbered(diff, section, a, b);
	}
	return failed ? failed : diff_memory(diff, a, b);
}

int
cli_diff(int argc, char **argv)
{
	struct diff diff = { .out = stdout };
	struct snapshot a, b;
	int failed;

	if (argc == 2 && !strcmp(argv[1], "--help")) {
		cli_help("diff");
		return show_end(stdout) ? TROUBLE : SAME;
	}
	if (argc != 3 || argv[1][0] == '-' || argv[2][0] == '-') {
		fail(STATUS_USAGE, "diff needs two snapshots; use minivmm diff A B");
		return TROUBLE;
	}
	/* Each may be the parent of the other, or have its parent beside it. */
	failed = snapshot_open_chain(&a, argv[1], argv + 1, 2);
	if (!failed) {
		failed = snapshot_open_chain(&b, argv[2], argv + 1, 2);
		if (!failed)
			failed = diff_snapshots(&diff, &a, &b);
		snapshot_close(&b);
	}
	snapshot_close(&a);
	if (!failed)
		failed = show_end(stdout);
	return failed ? TROUBLE : diff.any ? DIFFER : SAME;
}
