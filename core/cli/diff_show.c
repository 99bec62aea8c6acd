/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints the differences of records, as text or as elements of a JSON array. */
#include <string.h>

#include "base/json.h"
#include "cli/diff.h"
#include "cli/show.h"

#define ELEMENTS_SHOWN 8

void
diff_begin(struct diff *diff, const struct snapshot *a, const struct snapshot *b)
{
	if (!diff->json)
		return;
	fputs("{\n\t\"a\": ", diff->out);
	json_text(diff->out, a->path, strlen(a->path));
	fputs(",\n\t\"b\": ", diff->out);
	json_text(diff->out, b->path, strlen(b->path));
	fputs(",\n\t\"differences\": [", diff->out);
}

void
diff_end(struct diff *diff)
{
	if (diff->json)
		fprintf(diff->out, ",\n\t\"same\": %s\n}\n", diff->any ? "false" : "true");
}

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
show_side(const struct diff *diff, const struct record *item)
{
	if (item)
		show_value(diff->out, item);
	else
		fputs("(not there)", diff->out);
}

static void
json_element(struct diff *diff, const char *what)
{
	fprintf(diff->out, "%s\n\t\t{\"in\": ", diff->more ? "," : "");
	json_text(diff->out, what, strlen(what));
	diff->more = true;
}

static void
json_item(struct diff *diff, const char *path, const struct record *a, const struct record *b)
{
	json_element(diff, diff->what);
	fputs(", \"item\": ", diff->out);
	json_text(diff->out, path, strlen(path));
	if (a) {
		fputs(", \"a\": ", diff->out);
		record_print_json(diff->out, a, 2);
	}
	if (b) {
		fputs(", \"b\": ", diff->out);
		record_print_json(diff->out, b, 2);
	}
	fputc('}', diff->out);
}

void
diff_item(void *context, const char *path, const struct record *a, const struct record *b)
{
	struct diff *diff = context;

	if (diff->guest && diff_ignores(diff->kind, path))
		return;
	diff->any = true;
	if (diff->json) {
		json_item(diff, path, a, b);
		return;
	}
	if (a && b && a->array && b->array && a->type == b->type && a->count == b->count &&
	    a->count > 4) {
		show_elements(diff, path, a, b);
		return;
	}
	show_where(diff, path);
	fputs(": ", diff->out);
	show_side(diff, a);
	fputs(" -> ", diff->out);
	show_side(diff, b);
	fputc('\n', diff->out);
}

void
diff_only(struct diff *diff, const char *what, bool first)
{
	diff->any = true;
	if (diff->json) {
		json_element(diff, what);
		fprintf(diff->out, ", \"only\": \"%s\"}", first ? "a" : "b");
		return;
	}
	show_text(diff->out, what, strlen(what));
	fprintf(diff->out, ": only in the %s\n", first ? "first" : "second");
}
