/* SPDX-License-Identifier: BSD-2-Clause */
/* The memory that differs: runs of pages, and with --hex the bytes side by side. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/diff.h"

#define LINE 8u  /* bytes; two sides fit into 80 columns */
#define NEAR 16u /* runs of changed bytes that are this close are one */

/* The memory of a comparison. */
struct memory_diff {
	struct diff *diff;
	const struct snapshot *a, *b;
	uint8_t *pages[2]; /* buffers of a page each */
	bool begun;        /* JSON: the object of a run of bytes is open */
	gpa_t last;        /* the last changed byte of the run */
	uint64_t bytes;    /* in lines that were left out */
	uint64_t left_out; /* lines */
	uint64_t lines;    /* that were printed */
	int failed;
};

static void
put_bytes(FILE *out, const uint8_t *bytes, const uint8_t *other, bool all)
{
	for (unsigned i = 0; i < LINE; i++)
		if (all || bytes[i] != other[i])
			fprintf(out, " %02x", bytes[i]);
		else
			fputs(" ..", out);
	fputs("  ", out);
	for (unsigned i = 0; i < LINE; i++)
		fputc(bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i] : '.', out);
}

/* One line of LINE bytes: all of the first, and those of the second that differ. */
static void
text_line(struct memory_diff *m, gpa_t gpa, const uint8_t *a, const uint8_t *b)
{
	FILE *out = m->diff->out;

	if (m->begun && gpa - m->last > NEAR)
		fputc('\n', out);
	m->begun = true;
	fprintf(out, "  %08llx ", (unsigned long long)gpa);
	put_bytes(out, a, b, true);
	fputc(' ', out);
	put_bytes(out, b, a, false);
	fputc('\n', out);
}

static void
json_side(FILE *out, const char *name, const uint8_t *bytes)
{
	fprintf(out, ", \"%s\": \"", name);
	for (unsigned i = 0; i < LINE; i++)
		fprintf(out, "%02x", bytes[i]);
	fputc('"', out);
}

static void
json_line(struct memory_diff *m, gpa_t gpa, const uint8_t *a, const uint8_t *b)
{
	FILE *out = m->diff->out;

	fprintf(out, "%s\n\t\t\t{\"gpa\": %llu", m->begun ? "," : "", (unsigned long long)gpa);
	m->begun = true;
	json_side(out, "a", a);
	json_side(out, "b", b);
	fputc('}', out);
}

static unsigned
changed(const uint8_t *a, const uint8_t *b)
{
	unsigned count = 0;

	for (unsigned i = 0; i < LINE; i++)
		count += a[i] != b[i];
	return count;
}

static void
put_page(struct memory_diff *m, gpa_t gpa)
{
	for (unsigned at = 0; at < PAGE_SIZE; at += LINE) {
		const uint8_t *a = m->pages[0] + at, *b = m->pages[1] + at;
		unsigned count = changed(a, b);

		if (!count)
			continue;
		if (m->diff->lines && m->lines == m->diff->lines) {
			m->left_out++;
			m->bytes += count;
			continue;
		}
		m->lines++;
		if (m->diff->json)
			json_line(m, gpa + at, a, b);
		else
			text_line(m, gpa + at, a, b);
		m->last = gpa + at + LINE - 1;
	}
}

static void
put_run_bytes(struct memory_diff *m, gpa_t gpa, uint64_t size)
{
	m->begun = false;
	for (uint64_t at = 0; at < size && !m->failed; at += PAGE_SIZE) {
		m->failed = snapshot_read(m->a, gpa + at, m->pages[0], PAGE_SIZE);
		if (!m->failed)
			m->failed = snapshot_read(m->b, gpa + at, m->pages[1], PAGE_SIZE);
		if (!m->failed)
			put_page(m, gpa + at);
	}
}

static void
put_run(void *context, gpa_t gpa, uint64_t size)
{
	struct memory_diff *m = context;
	struct diff *diff = m->diff;

	diff->any = true;
	if (diff->json)
		fprintf(diff->out, "%s\n\t\t{\"gpa\": %llu, \"size\": %llu", diff->more ? "," : "",
			(unsigned long long)gpa, (unsigned long long)size);
	else
		fprintf(diff->out, "memory 0x%llx to 0x%llx: %llu %s\n", (unsigned long long)gpa,
			(unsigned long long)(gpa + size - 1),
			(unsigned long long)(size / PAGE_SIZE),
			size == PAGE_SIZE ? "page differs" : "pages differ");
	diff->more = true;
	if (diff->json && diff->hex)
		fputs(", \"bytes\": [", diff->out);
	if (diff->hex)
		put_run_bytes(m, gpa, size);
	if (diff->json)
		fputs(diff->hex ? "]}" : "}", diff->out);
}

/* Pages that exist in one snapshot only show as a difference of the memory maps. */
int
diff_memory(struct diff *diff, const struct snapshot *a, const struct snapshot *b)
{
	struct memory_diff m = { .diff = diff, .a = a, .b = b };
	uint8_t *pages = malloc(2 * PAGE_SIZE);
	int failed;

	if (!pages)
		return fail_memory("diff");
	m.pages[0] = pages;
	m.pages[1] = pages + PAGE_SIZE;
	diff->more = false;
	if (diff->json)
		fputs("],\n\t\"memory\": [", diff->out);
	failed = snapshot_compare(a, b, put_run, &m);
	if (diff->json && m.left_out)
		fprintf(diff->out, "],\n\t\"bytes_left_out\": %llu", (unsigned long long)m.bytes);
	else if (diff->json)
		fputs("]", diff->out);
	else if (m.left_out)
		fprintf(diff->out,
			"and %llu more bytes differ, in %llu lines; --lines 0 prints all\n",
			(unsigned long long)m.bytes, (unsigned long long)m.left_out);
	free(pages);
	return failed ? failed : m.failed;
}
