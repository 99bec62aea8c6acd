/* SPDX-License-Identifier: BSD-2-Clause */
/* Records: what a writer refuses, and damaged ones, which a reader refuses. */
#include "unit/record_sample.h"

/* Each case writes an invalid item. The error sticks. */
static void
writer_refuses(void **state)
{
	const uint32_t values[2] = { 1, 2 };

	for (int i = 0; i < 14; i++) {
		struct record_writer w = { 0 };
		char name[300];

		record_put_u32(&w, "first", 1);
		assert_false(w.failed);
		memset(name, 'a', sizeof(name));
		name[256] = '\0';
		switch (i) {
		case 0:
			record_put_u32(&w, "first", 1); /* exists already */
			record_finish(&w);
			break;
		case 1:
			record_put_u32(&w, "", 1);
			break;
		case 2:
			record_put_u32(&w, "a b", 1);
			break;
		case 3:
			record_put_u32(&w, "a\"", 1);
			break;
		case 4:
			record_put_u32(&w, name, 1); /* too long */
			break;
		case 5:
			record_put_u32(&w, NULL, 1); /* only elements of lists have no name */
			break;
		case 6:
			record_put(&w, "two", RECORD_U32, values, 2, false);
			break;
		case 7:
			record_put(&w, "text", RECORD_TEXT, "x", 1, false);
			break;
		case 8:
			record_end(&w); /* no group is open */
			break;
		case 9:
			record_begin(&w, "list", RECORD_LIST);
			record_put_u32(&w, "in_list", 1);
			break;
		case 10:
			record_begin(&w, "list", RECORD_LIST);
			record_begin(&w, NULL, RECORD_LIST);
			break;
		case 11:
			record_put(&w, "many", RECORD_U64, NULL, (size_t)UINT32_MAX + 1, true);
			break;
		case 12:
			record_begin(&w, "group", RECORD_GROUP);
			record_put_u32(&w, "same", 1);
			record_put_u32(&w, "same", 1);
			record_end(&w);
			break;
		case 13:
			record_begin(&w, "open", RECORD_GROUP);
			record_finish(&w);
			break;
		}
		assert_true(w.failed);
		record_put_u32(&w, "later", 1);
		assert_true(w.failed);
		record_writer_free(&w);
	}
}

static void
nests_to_the_documented_depth(void **state)
{
	struct record_writer w = { 0 };
	struct record root;

	for (int i = 0; i < RECORD_DEPTH; i++)
		record_begin(&w, "deeper", RECORD_GROUP);
	assert_false(w.failed);
	for (int i = 0; i < RECORD_DEPTH; i++)
		record_end(&w);
	assert_false(w.failed);
	assert_int_equal(record_open(w.data, w.length, &root, NULL), 0);
	record_writer_free(&w);

	for (int i = 0; i <= RECORD_DEPTH; i++)
		record_begin(&w, "deeper", RECORD_GROUP);
	assert_true(w.failed);
	record_writer_free(&w);
}

static void
limits_items_of_a_group(void **state)
{
	struct record_writer w = { 0 };
	struct record root;
	char name[16];

	for (int i = 0; i <= RECORD_ITEMS; i++) {
		assert_false(w.failed);
		snprintf(name, sizeof(name), "n%d", i);
		record_put_bool(&w, name, true);
	}
	assert_true(w.failed);
	assert_int_equal(record_open(w.data, w.length, &root, NULL), 0); /* all but the last */
	record_writer_free(&w);
}

/* Items made by hand that no writer makes. */
static void
reader_refuses(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *why;
	} cases[] = {
#define CASE(bytes, why) { bytes, sizeof(bytes) - 1, why }
		CASE("\x01\x01", "extends past the end of its parent"),
		CASE("\x01\x01n\x01\0\0\0", "extends past the end of its parent"),
		CASE("\x84\x01n\xff\xff\xff\xff........", "extends past the end of its parent"),
		CASE("\x07\x01n\x05\0\0\0\x05\x01m\0", "extends past the end of its parent"),
		CASE("\x07\x01n\x09\0\0\0\x01\x01m\x02\0\0\0ab", "a count other than 1"),
		CASE("\x00\x01n\x01\0\0\0a", "unknown type"),
		CASE("\x09\x01n\x01\0\0\0a", "unknown type"),
		CASE("\x86\x01n\x01\0\0\0a", "an invalid type"),
		CASE("\x87\x01n\x00\0\0\0", "an invalid type"),
		CASE("\x01\x01n\x00\0\0\0", "a count other than 1"),
		CASE("\x06\x01n\x02\0\0\0a\0", "a NUL byte"),
		CASE("\x05\x01n\x01\0\0\0\x02", "neither 0 nor 1"),
		CASE("\x01\x00\x01\0\0\0a", "no name"),
		CASE("\x01\x01\x1b\x01\0\0\0a", "no name or an invalid one"),
		CASE("\x01\x01n\x01\0\0\0a\x01\x01m\x01\0\0\0a\x01\x01n\x01\0\0\0a",
		     "two items with the same name"),
		CASE("\x08\x01n\x07\0\0\0\x01\x00\x01\0\0\0a", "not an unnamed group"),
		CASE("\x08\x01n\x07\0\0\0\x07\x01g\x00\0\0\0", "not an unnamed group"),
#undef CASE
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* On the heap, so that a sanitizer detects a read beyond the end. */
		char *bytes = malloc(cases[i].length);
		struct record root;
		struct why why;
		int r;

		memcpy(bytes, cases[i].bytes, cases[i].length);
		r = record_open(bytes, cases[i].length, &root, &why);
		free(bytes);
		if (!r || !strstr(why.text, cases[i].why))
			fail_msg("case %zu: %s", i, r ? why.text : "accepted");
	}
}

static void
reader_refuses_depth(void **state)
{
	uint8_t buffer[(RECORD_DEPTH + 1) * 7];
	struct record root;
	struct why why;

	for (uint32_t i = 0; i <= RECORD_DEPTH; i++) {
		uint32_t count = (uint32_t)sizeof(buffer) - (i + 1) * 7;

		memcpy(buffer + i * 7, "\x07\x01g", 3);
		memcpy(buffer + i * 7 + 3, &count, 4);
	}
	assert_int_equal(record_open(buffer, sizeof(buffer), &root, &why), -1);
	assert_non_null(strstr(why.text, "too deep"));
}

/* A record truncated anywhere or with any bit flipped is refused, or is safe to walk and print. */
static void
survives_damage(void **state)
{
	struct record_writer w = { 0 };
	struct record root;
	FILE *null = fopen("/dev/null", "w");
	uint8_t *copy;

	write_sample(&w);
	for (size_t length = 0; length < w.length; length++) {
		copy = malloc(length + 1);
		memcpy(copy, w.data, length);
		if (!record_open(copy, length, &root, NULL))
			record_print(null, &root, "");
		free(copy);
	}
	for (size_t bit = 0; bit < w.length * 8; bit++) {
		copy = malloc(w.length);
		memcpy(copy, w.data, w.length);
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		if (!record_open(copy, w.length, &root, NULL)) {
			record_print(null, &root, "");
			record_print_json(null, &root, 0);
		}
		free(copy);
	}
	fclose(null);
	record_writer_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writer_refuses),
		cmocka_unit_test(nests_to_the_documented_depth),
		cmocka_unit_test(limits_items_of_a_group),
		cmocka_unit_test(reader_refuses),
		cmocka_unit_test(reader_refuses_depth),
		cmocka_unit_test(survives_damage),
	};

	return cmocka_run_group_tests_name("record_refuses", tests, NULL, NULL);
}
