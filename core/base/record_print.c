/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints records as text and as JSON, and compares two of them. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "base/json.h"
#include "base/record.h"

#define LINE 32 /* bytes of an array per line */

/* The path of the current item during a walk of a tree. */
struct path {
	char text[1024]; /* a longer path is cut: a small file could have many */
	size_t length;
};

__attribute__((format(printf, 2, 3))) static void
path_add(struct path *path, const char *format, ...)
{
	size_t room = sizeof(path->text) - path->length;
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(path->text + path->length, room, format, arguments);
	va_end(arguments);
	path->length += n < 0 ? 0 : (size_t)n < room ? (size_t)n : room - 1;
}

static void
path_cut(struct path *path, size_t length)
{
	path->length = length;
	path->text[length] = 0;
}

/* Appends an item's name, or its index in a list. */
static void
path_enter(struct path *path, const struct record *item, size_t index)
{
	if (item->name_length)
		path_add(path, "%s%.*s", path->length ? "." : "", item->name_length, item->name);
	else
		path_add(path, "[%zu]", index);
}

static void
print_element(FILE *out, const struct record *item, uint32_t index)
{
	uint64_t value = record_number(item, index);

	if (item->type == RECORD_BOOL)
		fputs(value ? "yes" : "no", out);
	else if (item->type == RECORD_U8 && item->array)
		fprintf(out, "%02" PRIx64, value);
	else
		fprintf(out, "0x%" PRIx64, value);
}

static void
print_elements(FILE *out, const struct record *item, uint32_t from, uint32_t to)
{
	for (uint32_t i = from; i < to; i++) {
		putc(' ', out);
		print_element(out, item, i);
	}
	putc('\n', out);
}

static void
print_array(FILE *out, const struct record *item)
{
	uint32_t width = (uint32_t)record_width((enum record_type)item->type);
	uint32_t line = LINE / width, from;
	bool same, was_same = false;

	if (item->count <= line) {
		print_elements(out, item, 0, item->count);
		return;
	}
	fprintf(out, " %" PRIu32 " x u%" PRIu32 "\n", item->count, 8 * width);
	for (from = 0; item->count - from > line; from += line, was_same = same) {
		const uint8_t *bytes = item->data + (size_t)from * width;

		same = from && !memcmp(bytes, bytes - LINE, LINE);
		if (!same) {
			fprintf(out, "\t%04" PRIx32 ":", from);
			print_elements(out, item, from, from + line);
		} else if (!was_same) {
			fputs("\t*\n", out);
		}
	}
	/* The last line is always printed because it shows where the array ends. */
	fprintf(out, "\t%04" PRIx32 ":", from);
	print_elements(out, item, from, item->count);
}

static void
print(FILE *out, const struct record *item, struct path *path)
{
	size_t position = 0, index = 0, length = path->length;
	struct record child;

	if (item->type == RECORD_GROUP || item->type == RECORD_LIST) {
		while (record_next(item, &position, &child)) {
			path_enter(path, &child, index++);
			print(out, &child, path);
			path_cut(path, length);
		}
		return;
	}
	fprintf(out, "%s =", path->text);
	if (item->array) {
		print_array(out, item);
		return;
	}
	putc(' ', out);
	if (item->type == RECORD_TEXT)
		json_text(out, item->data, item->count);
	else
		print_element(out, item, 0);
	putc('\n', out);
}

void
record_print(FILE *out, const struct record *item, const char *prefix)
{
	struct path path = { .length = 0 };

	path_add(&path, "%s", prefix);
	if (item->name_length)
		path_enter(&path, item, 0);
	print(out, item, &path);
}

static void
json_line(FILE *out, int indent)
{
	putc('\n', out);
	while (indent-- > 0)
		putc('\t', out);
}

static void
json_number(FILE *out, const struct record *item, uint32_t index)
{
	uint64_t value = record_number(item, index);

	if (item->type == RECORD_BOOL)
		fputs(value ? "true" : "false", out);
	else if (item->type == RECORD_U64)
		json_hex(out, value);
	else
		fprintf(out, "%" PRIu64, value);
}

static void
json_array(FILE *out, const struct record *item)
{
	if (item->type == RECORD_U8) {
		json_bytes(out, item->data, item->count);
		return;
	}
	putc('[', out);
	for (uint32_t i = 0; i < item->count; i++) {
		fputs(i ? ", " : "", out);
		json_number(out, item, i);
	}
	putc(']', out);
}

void
record_print_json(FILE *out, const struct record *item, int indent)
{
	bool list = item->type == RECORD_LIST, first = true;
	struct record child;
	size_t position = 0;

	if (item->type == RECORD_TEXT) {
		json_text(out, item->data, item->count);
	} else if (!list && item->type != RECORD_GROUP) {
		if (item->array)
			json_array(out, item);
		else
			json_number(out, item, 0);
	} else {
		putc(list ? '[' : '{', out);
		for (; record_next(item, &position, &child); first = false) {
			if (!first)
				putc(',', out);
			json_line(out, indent + 1);
			/* Names contain no characters that JSON escapes. */
			if (!list)
				fprintf(out, "\"%.*s\": ", child.name_length, child.name);
			record_print_json(out, &child, indent + 1);
		}
		if (!first)
			json_line(out, indent);
		putc(list ? ']' : '}', out);
	}
}

struct comparison {
	void (*differs)(void *context, const char *path, const struct record *a,
			const struct record *b);
	void *context;
	size_t count;
};

static void compare(struct comparison *c, const struct record *a, const struct record *b,
		    struct path *path);

static void
compare_at(struct comparison *c, const struct record *a, const struct record *b, struct path *path,
	   size_t index)
{
	size_t length = path->length;

	path_enter(path, a ? a : b, index);
	compare(c, a, b, path);
	path_cut(path, length);
}

static void
compare_lists(struct comparison *c, const struct record *a, const struct record *b,
	      struct path *path)
{
	size_t at = 0, bt = 0;
	struct record x, y;

	for (size_t i = 0;; i++) {
		bool has_x = record_next(a, &at, &x), has_y = record_next(b, &bt, &y);

		if (!has_x && !has_y)
			return;
		compare_at(c, has_x ? &x : NULL, has_y ? &y : NULL, path, i);
	}
}

/* Finds the item with the same name. It is usually the next one. */
static bool
find(struct record_lookup *lookup, const struct record *like, struct record *item)
{
	return record_lookup_find(lookup, like->name, like->name_length, item);
}

static void
compare_groups(struct comparison *c, const struct record *a, const struct record *b,
	       struct path *path)
{
	struct record_lookup in_a, in_b;
	size_t position = 0;
	struct record x, y;

	record_lookup_open(&in_a, a);
	record_lookup_open(&in_b, b);
	while (record_next(a, &position, &x))
		compare_at(c, &x, find(&in_b, &x, &y) ? &y : NULL, path, 0);
	record_lookup_close(&in_b);
	position = 0;
	while (record_next(b, &position, &y))
		if (!find(&in_a, &y, &x))
			compare_at(c, NULL, &y, path, 0);
	record_lookup_close(&in_a);
}

static void
compare(struct comparison *c, const struct record *a, const struct record *b, struct path *path)
{
	bool alike = a && b && a->type == b->type && a->array == b->array;

	if (alike && a->type == RECORD_GROUP)
		compare_groups(c, a, b, path);
	else if (alike && a->type == RECORD_LIST)
		compare_lists(c, a, b, path);
	else if (!alike || a->count != b->count ||
		 memcmp(a->data, b->data, a->count * record_width((enum record_type)a->type))) {
		c->count++;
		c->differs(c->context, path->text, a, b);
	}
}

size_t
record_compare(const struct record *a, const struct record *b, const char *prefix,
	       void (*differs)(void *context, const char *path, const struct record *a,
			       const struct record *b),
	       void *context)
{
	struct comparison c = { .differs = differs, .context = context };
	struct path path = { .length = 0 };

	path_add(&path, "%s", prefix);
	compare(&c, a, b, &path);
	return c.count;
}
