/* SPDX-License-Identifier: BSD-2-Clause */
/* Records: written items can be found, copied and compared. */
#include "unit/record_sample.h"

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

/* Whether the writer takes the names of a table, and then one that is not of the table. */
static bool
takes(const char *before, const char *after, bool table_twice)
{
	struct record_writer w = { 0 };
	struct record root;
	bool taken;

	if (before)
		record_put_u32(&w, before, 1);
	for (int round = 0; round <= table_twice; round++) {
		record_known_names(&w, true);
		record_put_u32(&w, "a", 1);
		record_begin(&w, "b", RECORD_GROUP);
		record_put_u32(&w, "a", 1);
		record_end(&w);
		record_known_names(&w, false);
	}
	if (after)
		record_put_u32(&w, after, 1);
	record_finish(&w);
	taken = !w.failed;
	assert_int_equal(!record_open(w.data, w.length, &root, NULL), taken);
	record_writer_free(&w);
	return taken;
}

/* The names of a table are distinct from each other, and not from those before and after it. */
static void
known_names_and_others(void **state)
{
	assert_true(takes(NULL, NULL, false));
	assert_true(takes("x", NULL, false));
	assert_true(takes(NULL, "x", false));
	assert_true(takes("x", "y", false));
	assert_false(takes("a", NULL, false));
	assert_false(takes("b", NULL, false));
	assert_false(takes(NULL, "a", false));
	assert_false(takes(NULL, "b", false));
	assert_false(takes("x", "x", false));
	assert_false(takes(NULL, NULL, true));
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
		cmocka_unit_test(index_finds_all),
		cmocka_unit_test(known_names_and_others),
		cmocka_unit_test(copies_items),
		cmocka_unit_test(compares),
		cmocka_unit_test(finds_the_first_value_above),
		cmocka_unit_test(several_roots_in_a_buffer),
	};

	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
