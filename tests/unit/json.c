/* SPDX-License-Identifier: BSD-2-Clause */
/* JSON: written text can be read, invalid text is refused, and the text output is readable. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/json_read.h"

#include <cmocka.h>

/* An allocation of exactly its size, so that a sanitizer detects a read beyond the end. */
static bool
good(const char *text, size_t length)
{
	char *copy = malloc(length ? length : 1);
	struct json root;
	bool is_good;

	assert_non_null(copy);
	memcpy(copy, text, length);
	is_good = !json_open(copy, length, &root, NULL);
	free(copy);
	return is_good;
}

static void
grammar(void **state)
{
	static const char *const right[] = {
		"{}",
		"[]",
		"0",
		"-0",
		"10",
		"1.5",
		"1e9",
		"-1.25E-10",
		"1E+1",
		"true",
		"false",
		"null",
		"\"\"",
		" \t\r\n[ 1 , {\"a\" : [ ] } ] ",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
		"{\"a\":1,\"a\":2}",
		"\"\xff\"",
	};
	static const char *const wrong[] = {
		"",       " ",         "{",        "[",          "\"",          "01",
		"+1",     ".5",        "1.",       "1e",         "1e+",         "-",
		"tru",    "nul",       "True",     "[1,]",       "[,1]",        "[1 2]",
		"{,}",    "{\"a\"}",   "{\"a\":}", "{\"a\":1,}", "{a:1}",       "{1:1}",
		"[1}",    "{\"a\":1]", "'a'",      "\"\\x\"",    "\"\\u12g4\"", "\"\\u123\"",
		"\"\n\"", "\"\\\"",    "1 2",      "{} x",       "[1]]",        "nan",
		"//\n1",  "\"\\",
	};

	for (size_t i = 0; i < sizeof(right) / sizeof(*right); i++)
		if (!good(right[i], strlen(right[i])))
			fail_msg("refused: %s", right[i]);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		if (good(wrong[i], strlen(wrong[i])))
			fail_msg("taken: %s", wrong[i]);
	assert_false(good("\"\\\0\"", 4));
	assert_false(good("1\0", 2));
}

static void
depth(void **state)
{
	char text[2 * JSON_DEPTH + 2];

	memset(text, '[', JSON_DEPTH);
	memset(text + JSON_DEPTH, ']', JSON_DEPTH);
	assert_true(good(text, sizeof(text) - 2));
	memset(text, '[', JSON_DEPTH + 1);
	memset(text + JSON_DEPTH + 1, ']', JSON_DEPTH + 1);
	assert_false(good(text, sizeof(text)));
}

static void
reads(void **state)
{
	static const char text[] = "{\"a\":18446744073709551615,\"b\":18446744073709551616,"
				   "\"c\":-1,\"d\":1.0,\"e\":[7,\"x\"],\"ok\":true,\"aa\":{},"
				   "\"g\":\"0xffffffffffffffff\",\"h\":\"0x10000000000000000\","
				   "\"i\":\"0x\",\"j\":\"12\",\"k\":\"0x1g\",\"l\":\"0x0\"}";
	struct json root, value, name;
	const char *position = NULL;
	uint64_t number;

	assert_int_equal(json_open(text, strlen(text), &root, NULL), 0);
	assert_true(json_find_u64(&root, "a", &number));
	assert_true(number == UINT64_MAX);
	assert_false(json_find_u64(&root, "b", &number));
	assert_false(json_find_u64(&root, "c", &number));
	assert_false(json_find_u64(&root, "d", &number));
	assert_false(json_find_u64(&root, "f", &number));
	assert_true(json_find_u64(&root, "g", &number));
	assert_true(number == UINT64_MAX);
	assert_true(json_find_u64(&root, "l", &number) && !number);
	for (const char *name_of = "hijk"; *name_of; name_of++)
		assert_false(json_find_u64(&root, (char[]){ *name_of, 0 }, &number));
	assert_true(json_find(&root, "ok", &value) && json_is_true(&value));
	assert_true(json_find(&root, "e", &value));
	assert_false(json_find(&value, "e", &name));
	assert_true(json_next(&value, &position, &name, &root) && json_is_u64(&root, &number));
	assert_int_equal(number, 7);
	assert_true(name.at == name.end);
	assert_true(json_next(&value, &position, NULL, &root));
	assert_false(json_next(&value, &position, NULL, &root));
	position = NULL;
	assert_false(json_next(&root, &position, NULL, &value)); /* a string */
}

static char *
string_of(const char *text, size_t *length)
{
	struct json root;

	assert_int_equal(json_open(text, strlen(text), &root, NULL), 0);
	return json_string(&root, length);
}

static void
strings(void **state)
{
	static const struct {
		const char *json, *text;
	} cases[] = {
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t" },
		{ "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
		  "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80" },
		{ "\"\\ud83dx\\ude00\\ud83d\\u0041\\ud83d\"",
		  "\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd"
		  "A\xef\xbf\xbd" },
		{ "\"\"", "" },
	};
	size_t length;
	char *text;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		text = string_of(cases[i].json, &length);
		assert_string_equal(text, cases[i].text);
		assert_int_equal(length, strlen(text));
		free(text);
	}
	text = string_of("\"a\\u0000b\"", &length);
	assert_int_equal(length, 3);
	assert_memory_equal(text, "a\0b", 4);
	free(text);
	assert_null(string_of("[1]", &length));
}

/* Each byte, alone and after others, is read as written; bytes that are not UTF-8 as Latin-1. */
static void
reads_written_text(void **state)
{
	char *text = NULL, *back;
	size_t size, length;

	for (unsigned c = 0; c < 256; c++) {
		const char bytes[] = { 'x', (char)c, 'y' };
		FILE *out = open_memstream(&text, &size);

		json_text(out, bytes, sizeof(bytes));
		fclose(out);
		back = string_of(text, &length);
		assert_int_equal(length, c < 0x80 ? 3 : 4);
		assert_int_equal(
		    c < 0x80 ? (unsigned char)back[1] : (back[1] & 3) << 6 | (back[2] & 0x3f), c);
		free(back);
		free(text);
	}
}

/* One digit behind the point. */
static void
decimals(void **state)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	json_decimal(out, 0, 1000);
	fputc(' ', out);
	json_decimal(out, 99, 1000);
	fputc(' ', out);
	json_decimal(out, 1999, 1000);
	fputc(' ', out);
	json_decimal(out, UINT64_MAX, 1000000000);
	fclose(out);
	assert_string_equal(text, "0.0 0.0 1.9 18446744073.7");
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grammar),
		cmocka_unit_test(depth),
		cmocka_unit_test(reads),
		cmocka_unit_test(strings),
		cmocka_unit_test(reads_written_text),
		cmocka_unit_test(decimals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
