/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Parses INI text with inih. inih (as packaged: version 55) truncates long lines, joins indented
 * lines to the line before, ignores broken section headers, and has its own line count. The reader
 * in this file therefore counts and checks the lines, handles section headers, and passes only
 * lines of the form key = value to inih.
 */
#include "config/ini.h"

#include <ini.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/*
 * INI_MAX_LINE of inih is 200 and includes "
 * " and the terminating NUL.
 */
#define LINE_MAX_LENGTH 198u

#define BLANKS " \t\r\v\f"

struct reader {
	struct ini *ini;
	const char *file;
	const char *next, *end;      /* the rest of the text */
	struct ini_section *section; /* the current section; NULL before the first */
	unsigned line;
	int status;
};

static int
no_memory(void)
{
	return fail_memory("reading the config");
}

struct ini_section *
ini_find(const struct ini *ini, const char *kind, const char *instance)
{
	for (size_t i = 0; i < ini->count; i++) {
		struct ini_section *s = &ini->sections[i];

		if (!strcmp(s->kind, kind) && !s->instance == !instance &&
		    (!instance || !strcmp(s->instance, instance)))
			return s;
	}
	return NULL;
}

struct ini_key *
ini_key_find(const struct ini_section *section, const char *name)
{
	for (size_t i = 0; i < section->key_count; i++)
		if (!strcmp(section->keys[i].name, name))
			return &section->keys[i];
	return NULL;
}

int
ini_add(struct ini *ini, const char *kind, const char *instance, struct config_place place)
{
	struct ini_section section = { .place = place }, *all;
	char where[512];

	if (ini->count == INI_SECTIONS_MAX)
		return fail(STATUS_USAGE, "%s: the config has more than %u sections",
			    config_where(place, where, sizeof(where)), INI_SECTIONS_MAX);
	all = realloc(ini->sections, (ini->count + 1) * sizeof(*all));
	if (!all)
		return no_memory();
	ini->sections = all;
	section.kind = strdup(kind);
	section.instance = instance ? strdup(instance) : NULL;
	if (!section.kind || (instance && !section.instance)) {
		free(section.kind);
		free(section.instance);
		return no_memory();
	}
	all[ini->count++] = section;
	return 0;
}

static int
add_key(struct ini_section *section, const char *name, const char *value, struct config_place place)
{
	struct ini_key key = { .place = place }, *keys;
	char where[512];

	if (section->key_count == INI_KEYS_MAX)
		return fail(STATUS_USAGE, "%s: the section has more than %u keys",
			    config_where(place, where, sizeof(where)), INI_KEYS_MAX);
	keys = realloc(section->keys, (section->key_count + 1) * sizeof(*keys));
	if (!keys)
		return no_memory();
	section->keys = keys;
	key.name = strdup(name);
	key.value = strdup(value);
	if (!key.name || !key.value) {
		free(key.name);
		free(key.value);
		return no_memory();
	}
	keys[section->key_count++] = key;
	return 0;
}

int
ini_key_set(struct ini_section *section, const char *name, const char *value,
	    struct config_place place)
{
	struct ini_key *key = ini_key_find(section, name);
	char *copy;

	if (!key)
		return add_key(section, name, value, place);
	copy = strdup(value);
	if (!copy)
		return no_memory();
	free(key->value);
	key->value = copy;
	key->place = place;
	return 0;
}

void
ini_free(struct ini *ini)
{
	for (size_t i = 0; i < ini->count; i++) {
		struct ini_section *s = &ini->sections[i];

		for (size_t k = 0; k < s->key_count; k++) {
			free(s->keys[k].name);
			free(s->keys[k].value);
		}
		free(s->keys);
		free(s->kind);
		free(s->instance);
	}
	free(ini->sections);
	*ini = (struct ini){ 0 };
}

#define FAIL(r, format, ...)                                                                       \
	((r)->status = fail(STATUS_USAGE, "%s:%u: " format, (r)->file, (r)->line, ##__VA_ARGS__))

/* Removes blanks from both ends. */
static char *
trim(char *text)
{
	size_t length;

	text += strspn(text, BLANKS);
	length = strlen(text);
	while (length && strchr(BLANKS, text[length - 1]))
		length--;
	text[length] = '\0';
	return text;
}

/* Parses [kind] or [kind instance]. After an error, the keys below still go to that section. */
static void
take_header(struct reader *r, char *line)
{
	struct config_place place = { r->file, r->line };
	char *close = strchr(line, ']'), *kind, *instance, *after;
	size_t length;
	int status;

	if (close) {
		*close = '\0';
		after = trim(close + 1);
		if (*after && *after != ';' && *after != '#')
			FAIL(r, "[%s]: text after the ']': %s; move it to the next line", line + 1,
			     after);
	} else {
		FAIL(r, "%s has no ']' at its end", line);
		line[strcspn(line, ";#")] = '\0';
	}
	kind = trim(line + 1);
	length = strcspn(kind, BLANKS);
	instance = kind[length] ? trim(kind + length) : NULL;
	kind[length] = '\0';
	r->section = ini_find(r->ini, kind, instance);
	if (r->section) {
		FAIL(r, "duplicate section [%s%s%s], first at line %u; %s", kind,
		     instance ? " " : "", instance ? instance : "", r->section->place.line,
		     instance ? "rename one" : "move its keys there");
		if (!instance)
			return;
	}
	status = ini_add(r->ini, kind, instance, place);
	if (status) {
		r->status = status;
		r->next = r->end; /* no section for the keys */
		return;
	}
	r->section = &r->ini->sections[r->ini->count - 1];
}

/* Returns whether inih would parse the line as one key and one value, and a section is open. */
static bool
check_key(struct reader *r, const char *line)
{
	size_t length = strcspn(line, "=:");

	/* inih also accepts ':' in place of '=', and a comment ends the line. */
	for (size_t i = 1; i < length; i++)
		if (line[i] == ';' && strchr(BLANKS, line[i - 1]))
			length = i - 1;
	if (line[length] != '=') {
		FAIL(r, "%.*s has no '='; write KEY = VALUE", (int)length, line);
		return false;
	}
	if (!length) {
		FAIL(r, "no key before the '='");
		return false;
	}
	if (!r->section) {
		FAIL(r, "%.*s is outside of any section; put a line like [vm] before it",
		     (int)strcspn(line, BLANKS "="), line);
		return false;
	}
	return true;
}

/* Handles all lines but keys. Returns true if the line is a key for inih. */
static bool
take_line(struct reader *r, const char *from, size_t length, char *line)
{
	const char *start = from;

	if (memchr(from, 0, length)) {
		FAIL(r, "a NUL byte at column %zu; a config must be a text file",
		     (size_t)((const char *)memchr(from, 0, length) - from) + 1);
		return false;
	}
	while (length && strchr(BLANKS, from[length - 1]))
		length--;
	while (length && strchr(BLANKS, *from)) {
		from++;
		length--;
	}
	if (!length || *from == ';' || *from == '#')
		return false;
	if (length > LINE_MAX_LENGTH) {
		FAIL(r, "the line has %zu bytes, the limit is %u; shorten it or use --set", length,
		     LINE_MAX_LENGTH);
		return false;
	}
	memcpy(line, from, length);
	line[length] = '\0';
	if (from > start) {
		FAIL(r,
		     "%.*s is indented; start each key at column one, and write each value on one "
		     "line",
		     (int)strcspn(line, BLANKS "="), line);
		if (*line != '[' && !strchr(line, '='))
			return false; /* a continued value */
	}
	if (*line == '[') {
		take_header(r, line);
		return false;
	}
	return check_key(r, line);
}

/* Reader for inih: like fgets. */
static char *
read_line(char *buffer, int size, void *context)
{
	struct reader *r = context;
	char line[LINE_MAX_LENGTH + 1];

	while (r->next < r->end) {
		const char *from = r->next;
		const char *newline = memchr(from, '\n', (size_t)(r->end - from));
		size_t length = (size_t)((newline ? newline : r->end) - from);

		r->next = newline ? newline + 1 : r->end;
		r->line++;
		if (r->line == 1 && length >= 3 && !memcmp(from, "\xef\xbb\xbf", 3)) {
			from += 3; /* byte order mark */
			length -= 3;
		}
		if (!take_line(r, from, length, line))
			continue;
		length = strlen(line);
		if (length < (size_t)size)
			return memcpy(buffer, line, length + 1);
		/* This inih has a smaller buffer. */
		FAIL(r, "the line has %zu bytes, the limit of this inih is %d", length, size - 1);
	}
	return NULL;
}

/* Handler for inih. It ignores inih's section because the reader handles headers. */
static int
take_key(void *context, const char *section, const char *name, const char *value)
{
	struct reader *r = context;
	struct ini_key *before = ini_key_find(r->section, name);
	int status;

	if (before) {
		FAIL(r, "duplicate key %s, first at line %u; remove one", name, before->place.line);
		return 1;
	}
	status = add_key(r->section, name, value, (struct config_place){ r->file, r->line });
	if (status) {
		r->status = status;
		r->next = r->end;
	}
	return 1;
}

int
ini_read(struct ini *ini, const char *file, const char *text, size_t length)
{
	struct reader r = { .ini = ini, .file = file, .next = text, .end = text + length };
	int refused;

	refused = ini_parse_stream(read_line, &r, take_key, &r);
	if (refused && !r.status)
		r.status = fail(STATUS_USAGE, "%s: inih rejects key number %d", file, refused);
	return r.status;
}
