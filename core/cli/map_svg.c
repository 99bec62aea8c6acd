/* SPDX-License-Identifier: BSD-2-Clause */
/* The map of a snapshot's memory as an SVG image. Only integers: the same file on each host. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "cli/map.h"

/* In pixels. */
#define WIDTH 1240u
#define MARGIN 24u
#define CELLS_X 150u /* the left end of the cells */
#define CELL 10u     /* the width of one */
#define ROW 15u      /* the height of a row, with the gap below */
#define LABELS_X (CELLS_X + MAP_COLUMNS * CELL + 14u)
#define LINE 19u   /* the height of a line of text */
#define LETTER 7u  /* the width of a letter, about */
#define COLOURS 6u /* of names */
#define MORE 84u   /* the width of "and N more" */

static const char style[] =
    "<style>\n"
    "  .page { fill: #ffffff; }\n"
    "  text { fill: #1c252d; }\n"
    "  .title { font-weight: bold; font-size: 16px; }\n"
    "  .head { font-weight: bold; }\n"
    "  .code { font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 11px; }\n"
    "  .z { fill: #eceff2; }\n"
    "  .d1 { fill: #b9d5ee; } .d2 { fill: #7fb2de; } .d3 { fill: #3b86c6; } .d4 { fill: #0b5394; "
    "}\n"
    "  .p1 { fill: #f8dfc2; } .p2 { fill: #f2c28c; } .p3 { fill: #e8a04f; } .p4 { fill: #cf7a1a; "
    "}\n"
    "  .n0 { fill: #1b7f4b; } .n1 { fill: #a03fa0; } .n2 { fill: #c0392b; }\n"
    "  .n3 { fill: #7a6a00; } .n4 { fill: #00808a; } .n5 { fill: #5b5b8c; }\n"
    "  .m { fill: none; stroke: #d01030; stroke-width: 2; }\n"
    "  @media (prefers-color-scheme: dark) {\n"
    "    .page { fill: #0d1117; }\n"
    "    text { fill: #e6edf3; }\n"
    "    .z { fill: #222a33; }\n"
    "    .d1 { fill: #1d4468; } .d2 { fill: #2b6ca6; } .d3 { fill: #4f9ad8; } .d4 { fill: #9bd0ff; "
    "}\n"
    "    .p1 { fill: #4d3515; } .p2 { fill: #7d5318; } .p3 { fill: #b97a22; } .p4 { fill: #f0a648; "
    "}\n"
    "    .n0 { fill: #57d08f; } .n1 { fill: #e08fe0; } .n2 { fill: #ff8071; }\n"
    "    .n3 { fill: #e0cf5a; } .n4 { fill: #5cd6de; } .n5 { fill: #b0b0e8; }\n"
    "  }\n"
    "</style>\n";

/* Text of a file is untrusted: it becomes printable ASCII without the characters of markup. */
static void
put_text(FILE *out, const char *text)
{
	for (const uint8_t *c = (const uint8_t *)text; *c; c++)
		if (*c == '&' || *c == '<' || *c == '>' || *c == '"')
			fprintf(out, "&#%u;", *c);
		else if (*c >= ' ' && *c < 0x7f)
			fputc(*c, out);
		else
			fprintf(out, "\\x%02x", *c);
}

static void
put_rect(FILE *out, const char *class, unsigned x, unsigned y, unsigned width, unsigned height)
{
	fprintf(out, "<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\"/>\n", class,
		x, y, width, height);
}

static void
text_begin(FILE *out, const char *class, unsigned x, unsigned y)
{
	fprintf(out, "<text class=\"%s\" x=\"%u\" y=\"%u\">", class, x, y);
}

static void
text_end(FILE *out)
{
	fputs("</text>\n", out);
}

/* The class with the colour of a cell's data, or of the parent's data. NULL: it has none. */
static const char *
class_of(const struct map_cell *cell, enum snapshot_kind kind)
{
	static const char *const data[] = { NULL, "d1", "d2", "d3", "d4" };
	static const char *const parent[] = { NULL, "p1", "p2", "p3", "p4" };

	return (kind == SNAPSHOT_DATA ? data : parent)[map_level(cell, kind)];
}

/* A place in memory, which is marked by a frame, and not a range. */
static bool
is_place(const struct map_label *label)
{
	return label->space == MAP_MEMORY && label->first == label->last;
}

/* The class with the colour of a name. */
static const char *
class_of_label(const struct map *map, const struct map_label *label)
{
	static const char *const classes[COLOURS] = { "n0", "n1", "n2", "n3", "n4", "n5" };

	if (label->region)
		return "d3";
	return is_place(label) ? "m" : classes[(size_t)(label - map->labels) % COLOURS];
}

/* A legend of squares. Returns its right end. */
static unsigned
put_legend(FILE *out, unsigned x, unsigned y, const char *const *classes, unsigned count,
	   const char *text)
{
	for (unsigned i = 0; i < count; i++, x += 14)
		put_rect(out, classes[i], x, y - 11, 13, 13);
	text_begin(out, "note", x + 6, y);
	put_text(out, text);
	text_end(out);
	return x + 6 + LETTER * (unsigned)strlen(text) + 24;
}

static void
put_head(FILE *out, const struct map *map, unsigned *y)
{
	static const char *const zero[] = { "z" }, *const data[] = { "d1", "d2", "d3", "d4" };
	static const char *const parent[] = { "p1", "p2", "p3", "p4" };
	char sizes[SNAPSHOT_KINDS][32], text[96];
	const char *slash = strrchr(map->snapshot->path, '/');
	unsigned x = MARGIN;

	for (int i = 0; i < SNAPSHOT_KINDS; i++)
		map_pages_size(map->pages[i], sizes[i], sizeof(sizes[i]));
	text_begin(out, "title", MARGIN, *y += LINE);
	fputs("The memory of ", out);
	put_text(out, slash ? slash + 1 : map->snapshot->path);
	text_end(out);
	*y += LINE + 6;
	snprintf(text, sizeof(text), "zero: %s", sizes[SNAPSHOT_ZERO]);
	x = put_legend(out, x, *y, zero, 1, text);
	snprintf(text, sizeof(text), "data, the fuller the darker: %s", sizes[SNAPSHOT_DATA]);
	x = put_legend(out, x, *y, data, 4, text);
	snprintf(text, sizeof(text), "shared with the parent: %s", sizes[SNAPSHOT_PARENT]);
	if (snapshot_has_parent(map->snapshot))
		put_legend(out, x, *y, parent, 4, text);
	*y += 10;
}

/* A part of the cells from begin to end: equal neighbours are one rectangle. */
static void
put_cells(FILE *out, const struct map_view *view, size_t begin, size_t end, enum snapshot_kind kind,
	  unsigned y)
{
	for (size_t i = begin, next; i < end; i = next) {
		const char *class = class_of(&view->cells[i], kind);
		/* A cell of both kinds has the parent's data in its lower half. */
		bool half = kind == SNAPSHOT_PARENT && class_of(&view->cells[i], SNAPSHOT_DATA);

		for (next = i + 1; next < end; next++)
			if (class_of(&view->cells[next], kind) != class ||
			    (kind == SNAPSHOT_PARENT &&
			     half != (class_of(&view->cells[next], SNAPSHOT_DATA) != NULL)))
				break;
		if (class)
			put_rect(out, class, CELLS_X + (unsigned)(i - begin) * CELL,
				 half ? y + ROW / 2 : y, (unsigned)(next - i) * CELL,
				 half ? ROW / 2 - 1 : ROW - 2);
	}
}

/* Underlines the named ranges in the row of cells that covers [first, last]. */
static void
put_marks(FILE *out, const struct map *map, const struct map_view *view, gpa_t first, gpa_t last,
	  unsigned y)
{
	for (size_t i = 0; i < map->label_count; i++) {
		const struct map_label *label = &map->labels[i];
		uint64_t from, to;

		if (label->space != MAP_MEMORY || label->region || label->first > last ||
		    label->last < first)
			continue;
		from = (label->first > first ? label->first - first : 0) / view->cell;
		to = ((label->last < last ? label->last : last) - first) / view->cell;
		if (is_place(label))
			put_rect(out, "m", CELLS_X + (unsigned)from * CELL, y, CELL, ROW - 2);
		else
			put_rect(out, class_of_label(map, label), CELLS_X + (unsigned)from * CELL,
				 y + ROW - 4, (unsigned)(to - from + 1) * CELL, 3);
	}
}

/* The names that begin in the row. */
static void
put_row_labels(FILE *out, const struct map *map, gpa_t first, gpa_t last, unsigned y)
{
	const struct map_label *label;
	unsigned x = LABELS_X, left = 0;
	size_t position = 0;

	while ((label = map_label_in(map, &position, first, last))) {
		unsigned width = 24 + LETTER * (unsigned)strlen(label->text);

		if (left || (x > LABELS_X && x + width > WIDTH - MARGIN - MORE)) {
			left++;
			continue;
		}
		put_rect(out, class_of_label(map, label), x, y + 3, 8, 8);
		text_begin(out, "code", x + 12, y + 11);
		put_text(out, label->text);
		text_end(out);
		x += width;
	}
	if (!left)
		return;
	text_begin(out, "code", x, y + 11);
	fprintf(out, "and %u more", left);
	text_end(out);
}

static void
put_view(FILE *out, const struct map *map, const struct map_view *view, unsigned *y)
{
	char sizes[2][32];

	text_begin(out, "head", MARGIN, *y += LINE + 12);
	fprintf(out, "%s from 0x%llx; a cell is %s",
		format_bytes(view->size, sizes[0], sizeof(sizes[0])),
		(unsigned long long)view->from,
		format_bytes(view->cell, sizes[1], sizeof(sizes[1])));
	text_end(out);
	*y += 8;
	for (size_t row = 0; row < view->count; row += MAP_COLUMNS, *y += ROW) {
		gpa_t from = view->from + row * view->cell, last;
		size_t end = row + MAP_COLUMNS < view->count ? row + MAP_COLUMNS : view->count;

		last = from + (end - row) * view->cell - 1;
		text_begin(out, "code", MARGIN, *y + 11);
		fprintf(out, "0x%010llx", (unsigned long long)from);
		text_end(out);
		put_rect(out, "z", CELLS_X, *y, (unsigned)(end - row) * CELL, ROW - 2);
		put_cells(out, view, row, end, SNAPSHOT_DATA, *y);
		put_cells(out, view, row, end, SNAPSHOT_PARENT, *y);
		put_marks(out, map, view, from, last, *y);
		put_row_labels(out, map, from, last, *y);
	}
}

static void
put_names(FILE *out, const struct map *map, unsigned *y)
{
	static const char *const spaces[] = { "Memory", "Devices", "Ports" };
	int space = -1;

	for (size_t i = 0; i < map->label_count; i++) {
		const struct map_label *label = &map->labels[i];
		unsigned x = MARGIN + (label->space == MAP_MEMORY && !label->region ? 24 : 0);
		char size[32];

		if ((int)label->space != space) {
			text_begin(out, "head", MARGIN, *y += LINE + 12);
			fputs(spaces[label->space], out);
			text_end(out);
		}
		space = (int)label->space;
		*y += LINE;
		put_rect(out, class_of_label(map, label), x, *y - 9, 10, 10);
		text_begin(out, "code", x + 18, *y);
		fprintf(out, "0x%010llx", (unsigned long long)label->first);
		if (label->first != label->last)
			fprintf(out, " to 0x%010llx, %s", (unsigned long long)label->last,
				map_label_size(label, size, sizeof(size)));
		text_end(out);
		text_begin(out, "note", 400, *y);
		put_text(out, label->text);
		text_end(out);
	}
	if (!map->left_out)
		return;
	text_begin(out, "note", MARGIN, *y += LINE);
	fprintf(out, "and %zu more names", map->left_out);
	text_end(out);
}

/* Draws everything. Returns its height. */
static unsigned
put_all(FILE *out, const struct map *map)
{
	unsigned y = MARGIN - LINE / 2;

	put_head(out, map, &y);
	for (size_t i = 0; i < map->view_count; i++)
		put_view(out, map, &map->views[i], &y);
	put_names(out, map, &y);
	return y + MARGIN;
}

int
map_svg(FILE *out, const struct map *map)
{
	char *drawing = NULL;
	size_t length;
	FILE *all = open_memstream(&drawing, &length); /* the height, at the start, is known last */
	unsigned height = all ? put_all(all, map) : 0;

	if (!all || fclose(all)) {
		free(drawing);
		return fail_memory("inspect: --map");
	}
	fprintf(
	    out,
	    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" viewBox=\"0 0 "
	    "%u %u\"\n     font-family=\"Helvetica, Arial, 'DejaVu Sans', sans-serif\" "
	    "font-size=\"13\" role=\"img\">\n<title>The memory of a snapshot</title>\n%s",
	    WIDTH, height, WIDTH, height, style);
	put_rect(out, "page", 0, 0, WIDTH, height);
	fwrite(drawing, 1, length, out);
	fputs("</svg>\n", out);
	free(drawing);
	return 0;
}
