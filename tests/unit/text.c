/* SPDX-License-Identifier: BSD-2-Clause */
/* base/text and base/why: numbers, sizes, names, hints and error reasons. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#include <cmocka.h>

static void
values(void **state)
{
	uint64_t n;
	uint8_t *bytes;
	size_t length;
	bool yes;

	assert_int_equal(parse_u64("18446744073709551615", &n, NULL), 0);
	assert_true(n == UINT64_MAX);
	assert_int_equal(parse_u64("0XfF", &n, NULL), 0);
	assert_int_equal(n, 255);
	assert_int_equal(parse_u64("010", &n, NULL), 0);
	assert_int_equal(n, 10);
	for (const char **bad = (const char *[]){ "", "0x", "x1", "+1", "-1", " 1", "1 ", "1K",
						  "18446744073709551616", "1a", NULL };
	     *bad; bad++)
		assert_int_equal(parse_u64(*bad, &n, NULL), -1);
	assert_int_equal(parse_size("3k", &n, NULL), 0);
	assert_int_equal(n, 3 << 10);
	assert_int_equal(parse_size("0x10M", &n, NULL), 0);
	assert_int_equal(n, 16 << 20);
	assert_int_equal(parse_size("M", &n, NULL), -1);
	assert_int_equal(parse_size("1KB", &n, NULL), -1);
	assert_int_equal(parse_size("16777216T", &n, NULL), -1); /* 2^64 */
	assert_int_equal(parse_duration("5ms", &n, NULL), 0);
	assert_int_equal(n, 5000000);
	assert_int_equal(parse_duration("7", &n, NULL), 0);
	assert_int_equal(n, 7);
	assert_int_equal(parse_duration("5m", &n, NULL), -1);
	assert_int_equal(parse_duration("18446744074s", &n, NULL), -1);
	assert_int_equal(parse_bool("off", &yes, NULL), 0);
	assert_false(yes);
	assert_int_equal(parse_bool("1", &yes, NULL), 0);
	assert_true(yes);
	assert_int_equal(parse_bool("On", &yes, NULL), -1);
	assert_int_equal(parse_hex(" bA f8\t0 3", &bytes, &length, NULL), 0);
	assert_int_equal(length, 3);
	assert_memory_equal(bytes, "\xba\xf8\x03", 3);
	free(bytes);
	assert_int_equal(parse_hex("", &bytes, &length, NULL), 0);
	assert_int_equal(length, 0);
	free(bytes);
	assert_int_equal(parse_hex("abc", &bytes, &length, NULL), -1);
	assert_int_equal(parse_hex("0x12", &bytes, &length, NULL), -1);
}

/* On a command line, a number without a unit may mean seconds; in a saved config it is ns. */
static void
times_need_a_unit(void **state)
{
	static const char *const good[] = { "0", "00", "5s", "5ms", "10us", "1ns", NULL };
	static const char *const bad[] = { "5", "100000000", "05", "1", "0x10", NULL };
	struct why why;
	uint64_t n;

	for (size_t i = 0; good[i]; i++)
		assert_int_equal(parse_time(good[i], &n, NULL), 0);
	for (size_t i = 0; bad[i]; i++) {
		assert_int_equal(parse_duration(bad[i], &n, NULL), 0);
		assert_int_equal(parse_time(bad[i], &n, &why), -1);
		assert_non_null(strstr(why.text, "has no unit; write "));
	}
	assert_int_equal(parse_time("5 apples", &n, &why), -1);
	assert_non_null(strstr(why.text, "is not a duration"));
}

static void
reasons_of_parsers(void **state)
{
	struct why why;
	uint64_t n;

	assert_int_equal(parse_u64("x", &n, &why), -1);
	assert_string_equal(why.text, "is not a number (decimal, or hex with 0x)");
	assert_int_equal(parse_size("16777216T", &n, &why), -1);
	assert_string_equal(why.text, "does not fit into 64 bits");
	assert_int_equal(why_status(&why, STATUS_USAGE), STATUS_USAGE);
}

static void
nearest_names(void **state)
{
	const char *const names[] = { "memory", "memory_at", "cpus", "irqchip", "at", NULL };
	char longest[100];

	assert_string_equal(nearest("memroy", names), "memory");
	assert_string_equal(nearest("memoryat", names), "memory_at");
	assert_string_equal(nearest("cpu", names), "cpus");
	assert_string_equal(nearest("MEMORY", names), "memory");
	assert_string_equal(nearest("irq-chip", names), "irqchip");
	assert_null(nearest("foo", (const char *const[]){ "log", "set", NULL }));
	assert_string_equal(nearest("lgo", (const char *const[]){ "log", NULL }), "log");
	assert_null(nearest("output", names));
	assert_null(nearest("xy", names));
	assert_null(nearest("", names));
	memset(longest, 'm', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_null(nearest(longest, names));
}

/* The output is the shortest exact form, and parses to the same value. */
static void
writes_the_shortest_form(void **state)
{
	static const struct {
		uint64_t value;
		const char *size, *duration;
	} cases[] = {
		{ 0, "0", "0" },
		{ 1, "1", "1ns" },
		{ 1000, "1000", "1us" },
		{ 4096, "4K", "4096ns" },
		{ 65536000, "64000K", "65536us" },
		{ 1000000000, "1000000000", "1s" },
		{ 90000000000, "87890625K", "90s" },
		{ 1ull << 40, "1T", "1099511627776ns" },
		{ UINT64_MAX, "18446744073709551615", "18446744073709551615ns" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char text[24];
		uint64_t value;

		assert_string_equal(format_size(cases[i].value, text, sizeof(text)), cases[i].size);
		assert_int_equal(parse_size(text, &value, NULL), 0);
		assert_int_equal(value, cases[i].value);
		assert_string_equal(format_duration(cases[i].value, text, sizeof(text)),
				    cases[i].duration);
		assert_int_equal(parse_duration(text, &value, NULL), 0);
		assert_int_equal(value, cases[i].value);
	}
}

static void
bytes_have_a_unit(void **state)
{
	char text[32];

	assert_string_equal(format_bytes(0, text, sizeof(text)), "0 bytes");
	assert_string_equal(format_bytes(4097, text, sizeof(text)), "4097 bytes");
	assert_string_equal(format_bytes(16 << 20, text, sizeof(text)), "16M");
}

static void
lists_and_hints(void **state)
{
	const char *const names[] = { "a", "b", "c", NULL };
	char text[32];

	assert_string_equal(format_names("use ", names, text, sizeof(text)), "use a, b or c");
	assert_string_equal(format_names("use ", names + 2, text, sizeof(text)), "use c");
	/* Truncated and terminated. */
	assert_string_equal(format_names("use ", names, text, 8), "use a, ");
	assert_string_equal(did_you_mean("memory", "; none").text, "; did you mean memory?");
	assert_string_equal(did_you_mean(NULL, "; none").text, "; none");
}

static void
a_reason_carries_its_errno(void **state)
{
	struct why why;

	assert_int_equal(why_errno(&why, EMFILE, "opening %s", "x"), -1);
	assert_true(!strncmp(why.text, "opening x: Too many open files; raise ulimit -n", 47));
	assert_int_equal(why_status(&why, STATUS_SNAPSHOT), STATUS_HOST);
	assert_int_equal(why_prefix(&why, "device %d: ", 1), -1);
	assert_true(!strncmp(why.text, "device 1: opening x: Too many open files; raise", 47));
	assert_int_equal(why_status(&why, STATUS_SNAPSHOT), STATUS_HOST);
	assert_int_equal(why_set(&why, "it is another one"), -1);
	assert_int_equal(why_status(&why, STATUS_SNAPSHOT), STATUS_SNAPSHOT);
	assert_int_equal(why_no_memory(&why), -1);
	assert_non_null(strstr(why.text, "no memory; "));
	assert_int_equal(why_status(&why, STATUS_SNAPSHOT), STATUS_HOST);
}

/* The middle of a long name is left out; the cause and the remedy behind it stay. */
static void
a_long_reason_keeps_its_ends(void **state)
{
	char name[2 * sizeof(((struct why *)0)->text)], buffer[64];
	struct why why;

	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	why_errno(&why, EIO, "reading %s", name);
	assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
	assert_int_equal(why.error, EIO);
	why_prefix(&why, "%s: ", name);
	assert_int_equal(strlen(why.text), sizeof(why.text) - 1);
	assert_memory_equal(why.text, "aaa", 3);
	assert_non_null(strstr(why.text, "a ... a"));
	assert_string_equal(why.text + strlen(why.text) - 21, "a: Input/output error");
	assert_int_equal(why.error, EIO);

	assert_int_equal(text_fit(buffer, 16, "%s", "0123456789abcde"), 15);
	assert_string_equal(buffer, "0123456789abcde");
	assert_int_equal(text_fit(buffer, 16, "%s", "0123456789abcdef"), 15);
	assert_string_equal(buffer, "01234 ... bcdef");
	assert_int_equal(text_fit(buffer, 4, "%s", "0123456789abcdef"), 3);
	assert_string_equal(buffer, "012");
}

static void
accepts_null_for_the_reason(void **state)
{
	assert_int_equal(why_set(NULL, "x"), -1);
	assert_int_equal(why_errno(NULL, EIO, "x"), -1);
	assert_int_equal(why_no_memory(NULL), -1);
	assert_int_equal(why_prefix(NULL, "x"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(times_need_a_unit),
		cmocka_unit_test(reasons_of_parsers),
		cmocka_unit_test(nearest_names),
		cmocka_unit_test(writes_the_shortest_form),
		cmocka_unit_test(bytes_have_a_unit),
		cmocka_unit_test(lists_and_hints),
		cmocka_unit_test(a_reason_carries_its_errno),
		cmocka_unit_test(a_long_reason_keeps_its_ends),
		cmocka_unit_test(accepts_null_for_the_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
