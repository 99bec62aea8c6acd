/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text from outside: whatever it is, what reaches a terminal is valid UTF-8 without characters that
 * control it, in each of the ways in which text is written.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/escape.h"
#include "base/json.h"
#include "base/json_read.h"
#include "base/log.h"
#include "cli/plugin_page.h"
#include "cli/show.h"

#include <cmocka.h>

#include "unit/said.h"
#include "unit/seed.h"

#define LENGTH 24 /* bytes of a random text */

/* Byte sequences that no output may contain, in UTF-8, each as the first and the last one. */
static const struct {
	const char *first, *last;
} forbidden[] = {
	{ "\x01", "\x1f" },
	{ "\x7f", "\x7f" },
	{ "\xc2\x80", "\xc2\x9f" },
	{ "\xc2\xad", "\xc2\xad" },
	{ "\xcd\x8f", "\xcd\x8f" },
	{ "\xd8\x9c", "\xd8\x9c" },
	{ "\xe1\x85\x9f", "\xe1\x85\xa0" },
	{ "\xe1\x9e\xb4", "\xe1\x9e\xb5" },
	{ "\xe1\xa0\x8e", "\xe1\xa0\x8e" },
	{ "\xe2\x80\x8b", "\xe2\x80\x8b" },
	{ "\xe2\x80\x8e", "\xe2\x80\x8f" },
	{ "\xe2\x80\xa8", "\xe2\x80\xae" },
	{ "\xe2\x81\xa0", "\xe2\x81\xaf" },
	{ "\xe3\x85\xa4", "\xe3\x85\xa4" },
	{ "\xef\xbb\xbf", "\xef\xbb\xbf" },
	{ "\xef\xbe\xa0", "\xef\xbe\xa0" },
	{ "\xef\xbf\xb0", "\xef\xbf\xbb" },
	{ "\xf0\x9b\xb2\xa0", "\xf0\x9b\xb2\xa3" },
	{ "\xf0\x9d\x85\xb3", "\xf0\x9d\x85\xba" },
	{ "\xf3\xa0\x80\x80", "\xf3\xa0\x83\xbf" },
	{ "\xf3\xa0\x87\xb0", "\xf3\xa0\xbf\xbf" },
};

/* The length of the UTF-8 character at text, by the table of RFC 3629, section 4; 0: invalid. */
static size_t
utf8(const unsigned char *text, size_t left)
{
	static const unsigned char rows[][3] = {
		/* the first byte up to this; the second from and to */
		{ 0xc1, 1, 0 },       { 0xdf, 0x80, 0xbf }, { 0xe0, 0xa0, 0xbf },
		{ 0xec, 0x80, 0xbf }, { 0xed, 0x80, 0x9f }, { 0xef, 0x80, 0xbf },
		{ 0xf0, 0x90, 0xbf }, { 0xf3, 0x80, 0xbf }, { 0xf4, 0x80, 0x8f },
		{ 0xff, 1, 0 },
	};
	size_t row = 0, length = *text < 0xe0 ? 2 : *text < 0xf0 ? 3 : 4;

	if (*text < 0x80)
		return 1;
	while (*text > rows[row][0])
		row++;
	if (left < length || text[1] < rows[row][1] || text[1] > rows[row][2])
		return 0;
	for (size_t i = 2; i < length; i++)
		if (text[i] < 0x80 || text[i] > 0xbf)
			return 0;
	return length;
}

static void
check(const char *how, const char *text, size_t length)
{
	for (size_t i = 0, n; i < length; i += n) {
		n = utf8((const unsigned char *)text + i, length - i);
		if (!n)
			fail_msg("%s: not UTF-8 at %zu: %s", how, i, text);
		for (size_t f = 0; f < sizeof(forbidden) / sizeof(*forbidden); f++)
			if (n == strlen(forbidden[f].first) &&
			    memcmp(text + i, forbidden[f].first, n) >= 0 &&
			    memcmp(text + i, forbidden[f].last, n) <= 0)
				fail_msg("%s: byte %02x at %zu", how, (unsigned char)text[i], i);
	}
}

static void
put_json(FILE *out, const char *text, size_t length)
{
	json_text(out, text, length);
}

static void
put_copy(FILE *out, const char *text, size_t length)
{
	json_copy(out, text);
}

static void
put_shown(FILE *out, const char *text, size_t length)
{
	show_text(out, text, length);
}

static void
put_string(FILE *out, const char *text, size_t length)
{
	show_string(out, text, 40);
}

/* The number of macros in a page: the requests, and the words after them that mdoc would call. */
static size_t
macros(const char *page)
{
	size_t count = 0;

	for (const char *line = page; *line; line = strchr(line, '\n') + 1) {
		assert_int_not_equal(*line, '\'');
		for (const char *word = line; *line == '.' && *word != '\n';) {
			size_t length = strcspn(word, " \n");

			count += word == line || *word == '%' ||
				 (length > 1 && length < 4 && *word >= 'A' && *word <= 'Z' &&
				  ((word[1] >= 'a' && word[1] <= 'z') ||
				   (word[1] >= '0' && word[1] <= '9')));
			word += length + (word[length] == ' ');
		}
	}
	return count;
}

/* A page of a plugin all of whose strings are the text, without the newlines of the page. */
static void
put_page(FILE *out, const char *text, size_t length)
{
	struct minivmm_register registers[] = { { 0, text, text }, { 0, NULL, NULL } };
	struct minivmm_range ranges[] = { { .at = text, .length = 1, .registers = registers } };
	struct minivmm_stream streams[] = {
		{ .name = text, .output = text, .input = text, .help = text }
	};
	struct minivmm_field fields[] = { { .name = text, .help = text } };
	struct minivmm_timer timers[] = { { .name = text, .help = text } };
	struct minivmm_acpi acpi[] = { { .hid = text, .cid = text, .only = text } };
	struct plugin_option all[] = {
		{ .row = { .name = text, .type = MINIVMM_STRING, .initial = text, .help = text } },
		{ .row = { .name = text, .type = PLUGIN_STREAM } },
		{ .row = { .name = text, .type = MINIVMM_IRQ } },
	};
	const struct plugin plugin = {
		.descriptor = { .name = text,
				.summary = text,
				.ranges = ranges,
				.streams = streams,
				.fields = fields,
				.timers = timers,
				.acpi = acpi },
		.all = all,
		.all_count = 3,
		.range_count = 1,
		.stream_count = 1,
		.field_count = 1,
		.timer_count = 1,
		.acpi_count = 1,
	};
	size_t size, newlines = 0;
	static size_t usual, usual_macros; /* newlines and macros of the page of "x" */
	char *page = NULL;
	FILE *memory = open_memstream(&page, &size);

	cli_plugin_page(memory, &plugin);
	fclose(memory);
	if (!strcmp(text, "x"))
		usual_macros = macros(page);
	if (*text)
		assert_int_equal(macros(page), usual_macros);
	for (char *p = page; (p = strchr(p, '\n')); *p = ' ')
		newlines++;
	if (!strcmp(text, "x"))
		usual = newlines;
	if (*text)
		assert_int_equal(newlines, usual);
	fputs(page, out);
	free(page);
}

static void
put_message(FILE *out, const char *text, size_t length)
{
	struct said said;
	char *newline;

	said_begin(&said);
	log_line(MINIVMM_ERROR, "device", "cannot open %s", text);
	said_end(&said);
	newline = strchr(said.text, '\n');
	assert_non_null(newline);
	assert_true(!newline[1]);
	fwrite(said.text, 1, (size_t)(newline - said.text), out);
}

static const struct {
	const char *name;
	void (*put)(FILE *out, const char *text, size_t length);
} ways[] = {
	{ "JSON", put_json },       { "JSON of others", put_copy }, { "shown text", put_shown },
	{ "a column", put_string }, { "a page", put_page },         { "a message", put_message },
};

/* In each way. */
static void
write_all(const char *text, size_t length)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
		size_t size;
		char *shown = NULL;
		FILE *out = open_memstream(&shown, &size);

		ways[i].put(out, text, length);
		fclose(out);
		check(ways[i].name, shown, size);
		free(shown);
	}
}

static size_t
encode(char *to, uint32_t code)
{
	if (code < 0x80)
		return (size_t)sprintf(to, "%c", (int)code);
	if (code < 0x800)
		return (size_t)sprintf(to, "%c%c", (int)(0xc0 | code >> 6),
				       (int)(0x80 | (code & 63)));
	if (code < 0x10000)
		return (size_t)sprintf(to, "%c%c%c", (int)(0xe0 | code >> 12),
				       (int)(0x80 | (code >> 6 & 63)), (int)(0x80 | (code & 63)));
	return (size_t)sprintf(to, "%c%c%c%c", (int)(0xf0 | code >> 18),
			       (int)(0x80 | (code >> 12 & 63)), (int)(0x80 | (code >> 6 & 63)),
			       (int)(0x80 | (code & 63)));
}

/* Every character, surrogates and what lies beyond Unicode too: the class of each is as the byte
 * sequences above say. */
static void
every_character(void **state)
{
	for (uint32_t code = 1; code < 0x111000; code++) {
		char text[8], shown[32];
		size_t length = encode(text, code), n;

		n = escape_text(shown, sizeof(shown), text, length);
		check("a message", shown, n);
		if (n == length)
			assert_memory_equal(shown, text, n);
		assert_true(text_is_safe(text) == (n == length));
	}
	write_all("x", 1);
	for (uint32_t code = 1; code < 0x3000; code++) {
		char text[8];

		write_all(text, encode(text, code));
	}
}

/* Random bytes, and random sequences that are near the boundaries. */
static void
random_texts(void **state)
{
	static const char *const parts[] = {
		"\xc2\x9b",
		"\xc2",
		("\x9b"
		 "2J"),
		"\xe2\x80\xae",
		"\xe2\x80",
		"\xe2\x81\xa7",
		"\xc3\xa4",
		"\x1b[31m",
		"\n",
		"\r",
		"\t",
		"\\",
		"\"",
		"a",
		"\xed\xa0\x80",
		"\xf4\x90\x80\x80",
		"\xc0\x8a",
		"\xf3\xa0\x81\x81",
		"\x7f",
		".",
		"'",
		" ",
		".so x",
		" No ",
		"Ar",
		" %A",
	};
	uint64_t seed = random_seed();

	for (int round = 0; round < 3000; round++) {
		char text[8 * LENGTH] = "";
		size_t length = 0, pieces = random_below(&seed, LENGTH);

		for (size_t i = 0; i < pieces; i++)
			if (round & 1)
				text[length++] = (char)(1 + random_below(&seed, 255));
			else
				length =
				    (size_t)(stpcpy(text + length,
						    parts[random_below(
							&seed, sizeof(parts) / sizeof(*parts))]) -
					     text);
		write_all(text, length);
	}
}

/* JSON has the text: reading it back gives the characters. */
static void
json_keeps_the_text(void **state)
{
	for (uint32_t code = 0; code < 0x110000; code++) {
		char text[8] = "", *written = NULL, *back;
		size_t length = code ? encode(text, code) : 1, size, back_length;
		struct json root;
		FILE *out;

		if (code >= 0xd800 && code < 0xe000)
			continue;
		out = open_memstream(&written, &size);
		json_text(out, text, length);
		fclose(out);
		assert_int_equal(json_open(written, size, &root, NULL), 0);
		back = json_string(&root, &back_length);
		assert_int_equal(back_length, length);
		assert_memory_equal(back, text, length);
		free(back);
		free(written);
	}
}

/* What does not fit is left out as a whole. */
static void
truncates(void **state)
{
	char shown[8];

	for (size_t size = 1; size <= sizeof(shown); size++) {
		size_t n = escape_text(shown, size, "a\xc3\xa4\n\xc2\x9b", 6);

		assert_true(n < size);
		assert_int_equal(n, strlen(shown));
		check("truncated", shown, n);
	}
	escape_text(shown, sizeof(shown), "a\xc3\xa4\n\xc2\x9b", 6);
	assert_string_equal(shown, "a\xc3\xa4\\n");
}

/* A word that bash and zsh take as it is. */
static void
words(void **state)
{
	static const char *const good[] = { "a.ini", "../x-1_2/b,c=d:e@f+g%h", "\xc3\xa4" };
	static const char *const bad[] = {
		"",    "a b", "$(a)", "`a`",  "a;b",  "a&b",  "a|b",      "a>b",
		"a<b", "a*",  "a?",   "[a]",  "{a}",  "a'b",  "a\"b",     "a\\",
		"~a",  "!a",  "#a",   "a\nb", "a\tb", "\xff", "\xc2\x9b", "\xe2\x80\xae"
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		assert_true(text_is_word(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(text_is_word(bad[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),        cmocka_unit_test(every_character),
		cmocka_unit_test(random_texts), cmocka_unit_test(json_keeps_the_text),
		cmocka_unit_test(truncates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
