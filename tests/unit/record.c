/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records: written items can be opened and found, damaged records are refused; the output for
 * people and JSON.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/record.h"

/* A group with an item of each type. */
static void
write_sample(struct record_writer *w)
{
	const uint8_t bytes[] = { 0xba, 0xf8, 0x03 };
	const uint16_t words[] = { 1, 0xffff };

	record_put_u32(w, "small", 7);
	record_put_u64(w, "large", UINT64_MAX);
	record_put_bool(w, "flag", true);
	record_put_text(w, "name", "serial0");
	record_put_text(w, "absent", NULL);
	record_put_bytes(w, "bytes", bytes, sizeof(bytes));
	record_put(w, "words", RECORD_U16, words, 2, true);
	record_put(w, "none", RECORD_U64, NULL, 0, true);
	record_begin(w, "list", RECORD_LIST);
	for (uint32_t i = 0; i < 2; i++) {
		record_begin(w, NULL, RECORD_GROUP);
		record_put_u32(w, "index", i);
		record_begin(w, "inner", RECORD_GROUP);
		record_put_bool(w, "odd", i & 1);
		record_end(w);
		record_end(w);
	}
	record_end(w);
	assert_false(w->failed);
	assert_int_equal(w->depth, 0);
}

static void
finds_what_was_written(void **state)
{
	struct record_writer w = { 0 };
	struct record root, item, element;
	const uint8_t *bytes;
	size_t length, position = 0;
	uint64_t value;
	char *text;

	write_sample(&w);
	assert_int_equal(record_open(w.data, w.length, &root, NULL), 0);
	assert_true(record_get_u64(&root, "small", &value));
	assert_int_equal(value, 7);
	assert_true(record_get_u64(&root, "large", &value));
	assert_true(value == UINT64_MAX);
	assert_true(record_get_u64(&root, "flag", &value));
	assert_int_equal(value, 1);
	assert_int_equal(record_copy_text(&root, "name", &text, NULL), 0);
	assert_string_equal(text, "serial0");
	free(text);
	assert_true(record_get_bytes(&root, "bytes", &bytes, &length));
	assert_int_equal(length, 3);
	assert_memory_equal(bytes, "\xba\xf8\x03", 3);
	assert_true(record_find(&root, "words", &item));
	assert_int_equal(record_number(&item, 1), 0xffff);
	assert_true(record_find(&root, "none", &item));
	assert_int_equal(item.count, 0);

	assert_true(record_find(&root, "list", &item));
	assert_int_equal(record_elements(&item), 2);
	for (uint64_t i = 0; i < 2; i++) {
		struct record inner;

		assert_true(record_next(&item, &position, &element));
		assert_true(record_get_u64(&element, "index", &value));
		assert_int_equal(value, i);
		assert_true(record_find(&element, "inner", &inner));
		assert_true(record_get_u64(&inner, "odd", &value));
		assert_int_equal(value, i);
	}
	assert_false(record_next(&item, &position, &element));
	record_writer_free(&w);
}

static void
finds_no_item_of_another_type(void **state)
{
	struct record_writer w = { 0 };
	struct record root, item;
	const uint8_t *bytes;
	uint64_t value;
	size_t length;
	char *text;

	write_sample(&w);
	assert_int_equal(record_open(w.data, w.length, &root, NULL), 0);
	assert_false(record_find(&root, "absent", &item));
	assert_false(record_find(&root, "smal", &item));
	assert_false(record_find(&root, "smaller", &item));
	assert_false(record_get_u64(&root, "name", &value));
	assert_false(record_get_u64(&root, "words", &value));
	assert_int_equal(record_copy_text(&root, "small", &text, NULL), -1);
	assert_false(record_get_bytes(&root, "words", &bytes, &length));
	assert_false(record_get_bytes(&root, "small", &bytes, &length));
	record_writer_free(&w);
}

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

/* The index finds each item of a large group, in whatever order, and no other. */
static void
index_finds_all(void **state)
{
	struct record_writer w = { 0 };
	struct record_index index;
	struct record root, item;
	char name[16];

	for (uint32_t i = 0; i < RECORD_ITEMS; i++) {
		snprintf(name, sizeof(name), "%x", i * 7919u % RECORD_ITEMS);
		record_put_u32(&w, name, i);
	}
	record_finish(&w);
	assert_false(w.failed);
	assert_int_equal(record_open(w.data, w.length, &root, NULL), 0);
	assert_int_equal(record_index_open(&index, &root), 0);
	assert_false(record_index_duplicate(&index));
	for (uint32_t i = 0; i < RECORD_ITEMS; i++) {
		snprintf(name, sizeof(name), "%x", i * 7919u % RECORD_ITEMS);
		assert_true(record_index_find(&index, name, strlen(name), &item));
		assert_int_equal(record_number(&item, 0), i);
	}
	assert_false(record_index_find(&index, "1000", 4, &item));
	assert_false(record_index_find(&index, "", 0, &item));
	record_index_free(&index);
	record_writer_free(&w);
}

/* Copies an item with its contents, but not to an invalid place. */
static void
copies_items(void **state)
{
	struct record_writer from = { 0 }, to = { 0 }, again = { 0 };
	struct record root, copy, item;
	size_t position = 0;

	record_begin(&from, "group", RECORD_GROUP);
	record_put_text(&from, "text", "a b");
	record_begin(&from, "list", RECORD_LIST);
	record_begin(&from, NULL, RECORD_GROUP);
	record_put_bytes(&from, "bytes", "xyz", 3);
	record_end(&from);
	record_end(&from);
	record_end(&from);
	record_put_u64(&from, "number", 7);
	assert_int_equal(record_open(from.data, from.length, &root, NULL), 0);
	while (record_next(&root, &position, &item))
		record_put_item(&to, &item);
	assert_false(to.failed);
	assert_int_equal(to.length, from.length);
	assert_memory_equal(to.data, from.data, from.length);

	record_put_item(&to, &item); /* number again */
	record_finish(&to);
	assert_true(to.failed);
	assert_true(record_find(&root, "group", &item));
	assert_true(record_find(&item, "list", &copy));
	record_begin(&again, "list", RECORD_LIST);
	position = 0;
	assert_true(record_next(&copy, &position, &item));
	record_put_item(&again, &item); /* an element, which has no name */
	record_end(&again);
	assert_false(again.failed);
	assert_true(record_find(&root, "number", &item));
	record_begin(&again, "other", RECORD_LIST);
	record_put_item(&again, &item);
	assert_true(again.failed);
	record_writer_free(&from);
	record_writer_free(&to);
	record_writer_free(&again);
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

static char *
printed(const struct record_writer *w, const char *prefix, bool json)
{
	struct record root;
	char *text;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_int_equal(record_open(w->data, w->length, &root, NULL), 0);
	if (json)
		record_print_json(out, &root, 0);
	else
		record_print(out, &root, prefix);
	fclose(out);
	return text;
}

static void
prints_for_people(void **state)
{
	struct record_writer w = { 0 };
	char *text;

	write_sample(&w);
	record_put_text(&w, "odd", "a\"\\\x1b[m\xc3\xa4\xff\xc2\x9b");
	text = printed(&w, "dev", false);
	assert_string_equal(text, "dev.small = 0x7\n"
				  "dev.large = 0xffffffffffffffff\n"
				  "dev.flag = yes\n"
				  "dev.name = \"serial0\"\n"
				  "dev.bytes = ba f8 03\n"
				  "dev.words = 0x1 0xffff\n"
				  "dev.none =\n"
				  "dev.list[0].index = 0x0\n"
				  "dev.list[0].inner.odd = no\n"
				  "dev.list[1].index = 0x1\n"
				  "dev.list[1].inner.odd = yes\n"
				  "dev.odd = \"a\\\"\\\\\\u001b[m\xc3\xa4\\u00ff\\u009b\"\n");
	free(text);
	record_writer_free(&w);
}

static void
collapses_repeated_lines(void **state)
{
	struct record_writer w = { 0 };
	uint8_t bytes[32 * 6 + 1] = { 0 };
	char *text;

	bytes[32 * 5] = 1; /* lines: zeros five times, another one, a last byte */
	record_put_bytes(&w, "b", bytes, sizeof(bytes));
	text = printed(&w, "", false);
#define ZEROS " 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
	assert_string_equal(text, "b = 193 x u8\n"
				  "\t0000: 00 00" ZEROS ZEROS "\n"
				  "\t*\n"
				  "\t00a0: 01 00" ZEROS ZEROS "\n"
				  "\t00c0: 00\n");
	free(text);
	record_writer_free(&w);
}

static void
prints_json(void **state)
{
	struct record_writer w = { 0 };
	char *text;

	write_sample(&w);
	text = printed(&w, "", true);
	assert_string_equal(text, "{\n"
				  "\t\"small\": 7,\n"
				  "\t\"large\": \"0xffffffffffffffff\",\n"
				  "\t\"flag\": true,\n"
				  "\t\"name\": \"serial0\",\n"
				  "\t\"bytes\": \"baf803\",\n"
				  "\t\"words\": [1, 65535],\n"
				  "\t\"none\": [],\n"
				  "\t\"list\": [\n"
				  "\t\t{\n"
				  "\t\t\t\"index\": 0,\n"
				  "\t\t\t\"inner\": {\n"
				  "\t\t\t\t\"odd\": false\n"
				  "\t\t\t}\n"
				  "\t\t},\n"
				  "\t\t{\n"
				  "\t\t\t\"index\": 1,\n"
				  "\t\t\t\"inner\": {\n"
				  "\t\t\t\t\"odd\": true\n"
				  "\t\t\t}\n"
				  "\t\t}\n"
				  "\t]\n"
				  "}");
	free(text);
	record_writer_free(&w);
}

/* The type of an item decides the form of its number, not its value. */
static void
numbers_of_64_bits_are_strings(void **state)
{
	static const uint64_t values[] = { 0, 7, (1ull << 53) + 1, UINT64_MAX };

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		const uint64_t two[] = { 1, values[i] };
		struct record_writer w = { 0 };
		char expected[128], *text;

		record_put_u64(&w, "one", values[i]);
		record_put(&w, "two", RECORD_U64, two, 2, true);
		record_put_u32(&w, "small", (uint32_t)values[i]);
		snprintf(expected, sizeof(expected),
			 "{\n\t\"one\": \"0x%llx\",\n\t\"two\": [\"0x1\", \"0x%llx\"],\n"
			 "\t\"small\": %u\n}",
			 (unsigned long long)values[i], (unsigned long long)values[i],
			 (uint32_t)values[i]);
		text = printed(&w, "", true);
		assert_string_equal(text, expected);
		free(text);
		record_writer_free(&w);
	}
}

static void
note(void *context, const char *path, const struct record *a, const struct record *b)
{
	strcat(context, path);
	strcat(context, a && b ? " differs\n" : a ? " only in a\n" : " only in b\n");
}

static void
compares(void **state)
{
	struct record_writer w[2] = { { 0 }, { 0 } };
	struct record roots[2];
	char notes[512] = "";

	for (uint32_t i = 0; i < 2; i++) {
		record_put_u32(&w[i], i ? "b_only" : "a_only", 1);
		record_put_u32(&w[i], "same", 1);
		record_put_u32(&w[i], "value", i);
		if (i)
			record_put_u32(&w[i], "type", 1);
		else
			record_put_u64(&w[i], "type", 1);
		record_put_bytes(&w[i], "bytes", "ab", 1 + i);
		record_begin(&w[i], "list", RECORD_LIST);
		for (uint32_t j = 0; j <= i; j++) {
			record_begin(&w[i], NULL, RECORD_GROUP);
			record_put_u32(&w[i], "x", 10 * i);
			record_end(&w[i]);
		}
		record_end(&w[i]);
		assert_int_equal(record_open(w[i].data, w[i].length, &roots[i], NULL), 0);
		assert_int_equal(record_compare(&roots[i], &roots[i], "", note, notes), 0);
	}
	assert_string_equal(notes, "");
	assert_int_equal(record_compare(&roots[0], &roots[1], "d", note, notes), 7);
	assert_string_equal(notes, "d.a_only only in a\n"
				   "d.value differs\n"
				   "d.type differs\n"
				   "d.bytes differs\n"
				   "d.list[0].x differs\n"
				   "d.list[1] only in b\n"
				   "d.b_only only in b\n");
	record_writer_free(&w[0]);
	record_writer_free(&w[1]);
}

/* Returns what record_find_above should. */
static size_t
first_above(enum record_type type, const uint8_t *values, size_t count, uint64_t max)
{
	const struct record all = { .type = (uint8_t)type, .data = values };

	for (uint32_t i = 0; i < count; i++)
		if (record_number(&all, i) > max)
			return i;
	return count;
}

/* All widths, odd addresses, lengths around the size of a block, and each place of the value. */
static void
finds_the_first_value_above(void **state)
{
	static const enum record_type types[] = { RECORD_U8, RECORD_U16, RECORD_U32, RECORD_U64,
						  RECORD_BOOL };
	uint8_t bytes[1 + 600 * 8];

	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++) {
		size_t width = record_width(types[t]);
		uint64_t largest = UINT64_MAX >> (64 - 8 * width);
		const uint64_t maxima[] = { 0, 1, largest / 2, largest - 1, largest };

		for (size_t m = 0; m < sizeof(maxima) / sizeof(maxima[0]); m++)
			for (size_t count = 0; count < 600; count += 1 + count / 3) {
				uint64_t value = maxima[m] < largest ? maxima[m] + 1 : largest;

				for (size_t i = 0; i < 600; i++)
					memcpy(bytes + 1 + i * width, &maxima[m], width);
				assert_int_equal(
				    record_find_above(types[t], bytes + 1, count, maxima[m]),
				    count);
				for (size_t i = count; i-- > 0;) {
					memcpy(bytes + 1 + i * width, &value, width);
					assert_int_equal(
					    record_find_above(types[t], bytes + 1, count,
							      maxima[m]),
					    first_above(types[t], bytes + 1, count, maxima[m]));
				}
			}
	}
}

/* Several roots in one buffer: each can have the names of another, and is a record by itself. */
static void
several_roots_in_a_buffer(void **state)
{
	struct record_writer w = { 0 };
	struct record root;
	size_t begin[3];

	for (size_t i = 0; i < 3; i++) {
		record_root(&w);
		begin[i] = w.length;
		record_put_u32(&w, "name", (uint32_t)i);
		record_begin(&w, "group", RECORD_GROUP);
		record_put_u32(&w, "name", 7);
		record_end(&w);
		record_finish(&w);
		if (i == 1)
			memcpy(record_append(&w, 3), "raw", 3);
	}
	assert_false(w.failed);
	for (size_t i = 0; i < 3; i++) {
		size_t end = i == 2 ? w.length : begin[i + 1] - (i == 1 ? 3 : 0);
		uint64_t value;

		assert_int_equal(record_open(w.data + begin[i], end - begin[i], &root, NULL), 0);
		assert_true(record_get_u64(&root, "name", &value));
		assert_int_equal(value, i);
	}
	record_put_u32(&w, "name", 8); /* not twice in one root */
	record_finish(&w);
	assert_true(w.failed);
	assert_null(record_append(&w, 1));
	record_writer_free(&w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_what_was_written),
		cmocka_unit_test(finds_no_item_of_another_type),
		cmocka_unit_test(writer_refuses),
		cmocka_unit_test(index_finds_all),
		cmocka_unit_test(copies_items),
		cmocka_unit_test(nests_to_the_documented_depth),
		cmocka_unit_test(limits_items_of_a_group),
		cmocka_unit_test(reader_refuses),
		cmocka_unit_test(reader_refuses_depth),
		cmocka_unit_test(survives_damage),
		cmocka_unit_test(prints_for_people),
		cmocka_unit_test(collapses_repeated_lines),
		cmocka_unit_test(prints_json),
		cmocka_unit_test(numbers_of_64_bits_are_strings),
		cmocka_unit_test(compares),
		cmocka_unit_test(finds_the_first_value_above),
		cmocka_unit_test(several_roots_in_a_buffer),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
