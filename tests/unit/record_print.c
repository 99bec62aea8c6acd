/* SPDX-License-Identifier: BSD-2-Clause */
/* Records for people, and in JSON. */
#include "unit/record_sample.h"

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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_for_people),
		cmocka_unit_test(collapses_repeated_lines),
		cmocka_unit_test(prints_json),
		cmocka_unit_test(numbers_of_64_bits_are_strings),
	};

	return cmocka_run_group_tests_name("record_print", tests, NULL, NULL);
}
