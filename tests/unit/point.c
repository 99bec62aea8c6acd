/* SPDX-License-Identifier: BSD-2-Clause */
/* Points: their text, counting, and finding text in output however it is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "machine/point.h"

#include <cmocka.h>

#include "seed.h"

static void
good(void **state)
{
	static const struct {
		const char *text;
		enum point_kind kind;
		uint64_t value, times;
		const char *device, *output;
	} cases[] = {
		{ "rip:0x1005", POINT_RIP, 0x1005, 1, NULL, NULL },
		{ "rip:4101:7", POINT_RIP, 4101, 7, NULL, NULL },
		{ "rip:0xffffffff80000000:0x10", POINT_RIP, 0xffffffff80000000, 16, NULL, NULL },
		{ "pio:0x3f8", POINT_PIO, 0x3f8, 1, NULL, NULL },
		{ "pio:65535:2", POINT_PIO, 0xffff, 2, NULL, NULL },
		{ "mmio:0xfee00000:3", POINT_MMIO, 0xfee00000, 3, NULL, NULL },
		{ "access:1", POINT_ACCESS, 1, 1, NULL, NULL },
		{ "access:18446744073709551615", POINT_ACCESS, UINT64_MAX, UINT64_MAX, NULL, NULL },
		{ "step:12", POINT_STEP, 12, 12, NULL, NULL },
		{ "hlt", POINT_HLT, 0, 1, NULL, NULL },
		{ "time:10ms", POINT_TIME, 10000000, 1, NULL, NULL },
		{ "time:0", POINT_TIME, 0, 1, NULL, NULL },
		{ "output:serial0:login:", POINT_OUTPUT, 0, 1, "serial0", "login:" },
		{ "output:serial0:login::2", POINT_OUTPUT, 0, 2, "serial0", "login:" },
		{ "output:s:a:b:3", POINT_OUTPUT, 0, 3, "s", "a:b" },
		{ "output:s:a:0", POINT_OUTPUT, 0, 1, "s", "a:0" }, /* no 0th time */
		{ "output:s::2", POINT_OUTPUT, 0, 1, "s", ":2" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct point point;
		struct why why;

		if (point_parse(&point, cases[i].text, &why))
			fail_msg("%s: %s", cases[i].text, why.text);
		assert_int_equal(point.kind, cases[i].kind);
		assert_int_equal(point.value, cases[i].value);
		assert_int_equal(point.times, cases[i].times);
		if (cases[i].device) {
			assert_string_equal(point.device, cases[i].device);
			assert_string_equal(point.text, cases[i].output);
		} else
			assert_true(!point.device && !point.text);
		point_free(&point);
	}
}

static void
bad(void **state)
{
	static const struct {
		const char *text, *wrong;
	} cases[] = {
		{ "", "is no point; use rip:ADDR, " },
		{ "lunch:1", "is no point; use rip:ADDR, " },
		{ "a word that is far too long for a buffer", "is no point; use rip:ADDR, " },
		{ "rap:1", "is no point; did you mean rip:ADDR? There are rip:ADDR, " },
		{ "ri:1", "is no point; did you mean rip:ADDR? There are rip:ADDR, " },
		{ "rips:1", "is no point; did you mean rip:ADDR? There are rip:ADDR, " },
		{ "outptu:a:b", "is no point; did you mean output:DEVICE:TEXT? " },
		{ "rip", "has no number after its kind" },
		{ "rip:", "has no number after its kind" },
		{ "rip:five", "has no number after its kind" },
		{ "rip:1:x", "has no number after its kind" },
		{ "rip:1:2:3", "has no number after its kind" },
		{ "pio:0x10000", "names a port above 0xffff" },
		{ "pio:3f8", "has a number in hex without 0x" },
		{ "rip:beef:2", "has a number in hex without 0x" },
		{ "pio:0x100:0", "counts from 1" },
		{ "access:0", "counts from 1" },
		{ "access:1:2", "has no number after its kind" },
		{ "step:0", "counts from 1" },
		{ "hlt:now", "hlt takes no value" },
		{ "time:soon", "is not a duration" },
		{ "time:", "is not a duration" },
		{ "output:serial0", "must look like output:DEVICE:TEXT" },
		{ "output:serial0:", "must look like output:DEVICE:TEXT" },
		{ "output::text", "must look like output:DEVICE:TEXT" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct point point;
		struct why why;

		if (!point_parse(&point, cases[i].text, &why) ||
		    strncmp(why.text, cases[i].wrong, strlen(cases[i].wrong)))
			fail_msg("%s: %s", cases[i].text, why.text);
		point_free(&point);
	}
}

static void
counts(void **state)
{
	struct point point;

	assert_int_equal(point_parse(&point, "pio:1:3", NULL), 0);
	assert_false(point_count(&point));
	assert_false(point_count(&point));
	assert_true(point_count(&point));
	for (int i = 0; i < 5; i++)
		assert_false(point_count(&point)); /* once is all */
	point_free(&point);
}

/* How many times text is in the output up to length, one behind the other. */
static uint64_t
naive(const char *output, size_t length, const char *text)
{
	size_t size = strlen(text);
	uint64_t found = 0;

	for (size_t i = 0; i + size <= length;) {
		bool here = !memcmp(output + i, text, size);

		found += here;
		i += here ? size : 1;
	}
	return found;
}

static void
random_text(uint64_t *seed, char *text, size_t length)
{
	for (size_t i = 0; i < length; i++)
		text[i] = "ab"[random_below(seed, 2)];
	text[length] = '\0';
}

/* Texts of two letters, which begin like themselves in the middle, in pieces of any size. */
static void
output(void **state)
{
	uint64_t seed = random_seed();

	for (int i = 0; i < 2000; i++) {
		char text[8], said[201];
		uint64_t times = 1 + random_below(&seed, 4);
		struct point point = { 0 };
		bool before = false;
		char spec[64];

		random_text(&seed, text, 1 + random_below(&seed, 6));
		random_text(&seed, said, 200);
		snprintf(spec, sizeof(spec), "output:tty:%s:%llu", text, (unsigned long long)times);
		assert_int_equal(point_parse(&point, spec, NULL), 0);
		for (size_t at = 0; at < 200;) {
			size_t piece = random_below(&seed, 9);
			bool now, reached;

			if (piece > 200 - at)
				piece = 200 - at;
			reached = point_output(&point, "tty", (const uint8_t *)said + at, piece);
			assert_false(
			    point_output(&point, "other", (const uint8_t *)text, strlen(text)));
			at += piece;
			now = naive(said, at, text) >= times;
			assert_int_equal(reached, now && !before);
			before = now;
		}
		point_free(&point);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good),
		cmocka_unit_test(bad),
		cmocka_unit_test(counts),
		cmocka_unit_test(output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
