/* SPDX-License-Identifier: BSD-2-Clause */
/* Prints JSON for people. */
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/text.h"
#include "cli/show.h"

static bool
is_open(const struct json *value)
{
	return *value->at == '{' || *value->at == '[';
}

static bool
is_empty(const struct json *value)
{
	const char *position = NULL;
	struct json item;

	return is_open(value) && !json_next(value, &position, NULL, &item);
}

static void
show_scalar(FILE *out, const struct json *value)
{
	size_t length;
	char *text = json_string(value, &length);

	if (text)
		show_text(out, text, length);
	else if (*value->at == 't' || *value->at == 'f')
		fputs(json_is_true(value) ? "yes" : "no", out);
	else if (*value->at == 'n')
		fputs("none", out);
	else
		show_text(out, value->at, (size_t)(value->end - value->at));
	free(text);
}

/* Prints a number, or a number of 64 bits in a string, as inspect prints a register. */
static void
show_hex(FILE *out, const struct json *value)
{
	uint64_t number;

	if (json_is_u64(value, &number))
		fprintf(out, "0x%llx (%llu)", (unsigned long long)number,
			(unsigned long long)number);
	else
		show_scalar(out, value);
}

/* Prints items with commas between them. */
static void
show_inside(FILE *out, const struct json *value)
{
	const char *position = NULL, *between = "";
	struct json name, item;

	while (json_next(value, &position, &name, &item)) {
		fputs(between, out);
		between = ", ";
		if (name.at != name.end) {
			show_scalar(out, &name);
			fputs(": ", out);
		}
		show_json(out, &item);
	}
}

void
show_json(FILE *out, const struct json *value)
{
	if (!is_open(value)) {
		show_scalar(out, value);
		return;
	}
	putc(*value->at, out);
	show_inside(out, value);
	putc(*value->at == '{' ? '}' : ']', out);
}

static void
show_elements(FILE *out, const struct json *array, unsigned indent)
{
	const char *position = NULL;
	struct json element;

	while (json_next(array, &position, NULL, &element)) {
		fprintf(out, "%*s", (int)indent, "");
		if (is_open(&element) && !is_empty(&element))
			show_inside(out, &element);
		else
			show_json(out, &element);
		putc('\n', out);
	}
}

void
show_json_members(FILE *out, const struct json *object, const char *without, unsigned indent,
		  bool hex)
{
	const char *position = NULL;
	struct json name, value, left_out;
	bool leave = without && json_find(object, without, &left_out);

	while (*object->at == '{' && json_next(object, &position, &name, &value)) {
		if (leave && value.at == left_out.at)
			continue;
		fprintf(out, "%*s", (int)indent, "");
		show_scalar(out, &name);
		putc(':', out);
		if (!is_open(&value) || is_empty(&value)) {
			putc(' ', out);
			if (is_open(&value))
				fputs("none", out);
			else
				(hex && indent ? show_hex : show_scalar)(out, &value);
			putc('\n', out);
			continue;
		}
		putc('\n', out);
		if (*value.at == '{')
			show_json_members(out, &value, NULL, indent + 2, hex);
		else
			show_elements(out, &value, indent + 2);
	}
}
