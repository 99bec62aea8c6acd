/* SPDX-License-Identifier: BSD-2-Clause */
/* The map of a snapshot's memory as text. */
#include <string.h>

#include "base/text.h"
#include "cli/map.h"
#include "cli/show.h"

#define ROW_LABELS 3u /* of a row; more are counted */

/* Prints an address with as many digits as the whole map needs. */
static void
put_address(FILE *out, uint64_t address)
{
	fprintf(out, "0x%010llx", (unsigned long long)address);
}

static char
glyph(const struct map_cell *cell)
{
	static const char data[] = ".-++#", parent[] = ".:::=";
	unsigned level = map_level(cell, SNAPSHOT_DATA);

	return level ? data[level] : parent[map_level(cell, SNAPSHOT_PARENT)];
}

static void
put_total(FILE *out, const struct map *map, const char *what, enum snapshot_kind kind)
{
	uint64_t pages = map->pages[kind];
	char text[32];

	fprintf(out, "  %-22s %llu page%s, %s\n", what, (unsigned long long)pages,
		pages == 1 ? "" : "s", map_pages_size(pages, text, sizeof(text)));
}

static void
put_label(FILE *out, const struct map_label *label)
{
	char size[32];

	fputs(label->space == MAP_MEMORY && !label->region ? "    " : "  ", out);
	put_address(out, label->first);
	if (label->first == label->last)
		fprintf(out, "%15s", "");
	else {
		fputs(" to ", out);
		put_address(out, label->last);
	}
	fprintf(out, " %12s  ", map_label_size(label, size, sizeof(size)));
	show_text(out, label->text, strlen(label->text));
	fputc('\n', out);
}

static void
put_labels(FILE *out, const struct map *map)
{
	static const char *const spaces[] = { "memory", "devices", "ports" };
	int space = -1;

	for (size_t i = 0; i < map->label_count; i++) {
		const struct map_label *label = &map->labels[i];

		if ((int)label->space != space)
			fprintf(out, "\n%s\n", spaces[label->space]);
		space = (int)label->space;
		put_label(out, label);
	}
	if (map->left_out)
		fprintf(out, "  and %zu more names\n", map->left_out);
}

static void
put_row_labels(FILE *out, const struct map *map, gpa_t first, gpa_t last)
{
	const struct map_label *label;
	size_t position = 0;
	unsigned count = 0;

	while ((label = map_label_in(map, &position, first, last))) {
		if (count++ >= ROW_LABELS)
			continue;
		fputs(count == 1 ? "  " : ", ", out);
		show_text(out, label->text, strlen(label->text));
	}
	if (count > ROW_LABELS)
		fprintf(out, " and %u more", count - ROW_LABELS);
}

static void
put_view(FILE *out, const struct map *map, const struct map_view *view)
{
	char sizes[2][32];

	fprintf(out, "\n%s from 0x%llx; a character is %s\n",
		format_bytes(view->size, sizes[0], sizeof(sizes[0])),
		(unsigned long long)view->from,
		format_bytes(view->cell, sizes[1], sizeof(sizes[1])));
	for (size_t row = 0; row < view->count; row += MAP_COLUMNS) {
		gpa_t from = view->from + row * view->cell, last;
		size_t end = row + MAP_COLUMNS < view->count ? row + MAP_COLUMNS : view->count;

		last = from + (end - row) * view->cell - 1;
		fputs("  ", out);
		put_address(out, from);
		fputc(' ', out);
		for (size_t i = row; i < end; i++)
			fputc(glyph(&view->cells[i]), out);
		fprintf(out, "%*s", (int)(row ? MAP_COLUMNS - (end - row) : 0), "");
		put_row_labels(out, map, from, last);
		fputc('\n', out);
	}
}

void
map_text(FILE *out, const struct map *map)
{
	bool parent = snapshot_has_parent(map->snapshot);

	show_text(out, map->snapshot->path, strlen(map->snapshot->path));
	fputs(": pages of memory\n", out);
	put_total(out, map, ".  zero", SNAPSHOT_ZERO);
	put_total(out, map, "#  data", SNAPSHOT_DATA);
	if (parent)
		put_total(out, map, "=  data of the parent", SNAPSHOT_PARENT);
	fputs("  A character stands for several pages: + at least a quarter are data, - fewer",
	      out);
	fputs(parent ? ", : some are the parent's\n" : "\n", out);
	put_labels(out, map);
	for (size_t i = 0; i < map->view_count; i++)
		put_view(out, map, &map->views[i]);
}
