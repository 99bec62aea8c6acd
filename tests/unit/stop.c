/* SPDX-License-Identifier: BSD-2-Clause */
/* Stop conditions: parsing, counting, and matching of text in output that is split anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "machine/stop.h"

#include <cmocka.h>

#include "seed.h"

static void
valid_conditions(void **state)
{
	static const struct {
		const char *text;
		enum stop_kind kind;
		uint64_t value, times;
		const char *device, *output;
	} cases[] = {
		{ "rip:0x1005", STOP_RIP, 0x1005, 1, NULL, NULL },
		{ "rip:9:7", STOP_RIP, 9, 7, NULL, NULL },
		{ "rip:0xffffffff80000000:0x10", STOP_RIP, 0xffffffff80000000, 16, NULL, NULL },
		{ "pio:0x3f8", STOP_PIO, 0x3f8, 1, NULL, NULL },
		{ "pio:0xffff:2", STOP_PIO, 0xffff, 2, NULL, NULL },
		{ "mmio:0xfee00000:3", STOP_MMIO, 0xfee00000, 3, NULL, NULL },
		{ "access:1", STOP_ACCESS, 1, 1, NULL, NULL },
		{ "access:18446744073709551615", STOP_ACCESS, UINT64_MAX, UINT64_MAX, NULL, NULL },
		{ "step:12", STOP_STEP, 12, 12, NULL, NULL },
		{ "hlt", STOP_HLT, 0, 1, NULL, NULL },
		{ "panic", STOP_PANIC, 0, 1, NULL, NULL },
		{ "time:10ms", STOP_TIME, 10000000, 1, NULL, NULL },
		{ "time:0", STOP_TIME, 0, 1, NULL, NULL },
		{ "output:serial0:login:", STOP_OUTPUT, 0, 1, "serial0", "login:" },
		{ "output:serial0:login::2", STOP_OUTPUT, 0, 2, "serial0", "login:" },
		{ "output:s:a:b:3", STOP_OUTPUT, 0, 3, "s", "a:b" },
		{ "output:s:a:0", STOP_OUTPUT, 0, 1, "s", "a:0" }, /* there is no 0th time */
		{ "output:s::2", STOP_OUTPUT, 0, 1, "s", ":2" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct stop stop;
		struct why why;

		if (stop_parse(&stop, cases[i].text, &why))
			fail_msg("%s: %s", cases[i].text, why.text);
		assert_int_equal(stop.kind, cases[i].kind);
		assert_int_equal(stop.value, cases[i].value);
		assert_int_equal(stop.times, cases[i].times);
		if (cases[i].device) {
			assert_string_equal(stop.device, cases[i].device);
			assert_string_equal(stop.text, cases[i].output);
		} else
			assert_true(!stop.device && !stop.text);
		stop_free(&stop);
	}
}

static void
invalid_conditions(void **state)
{
	static const struct {
		const char *text, *wrong;
	} cases[] = {
		{ "", "is not a stop condition; use rip:ADDR, " },
		{ "lunch:1", "is not a stop condition; use rip:ADDR, " },
		{ "a word that is far too long for a buffer",
		  "is not a stop condition; use rip:ADDR, " },
		{ "rap:1",
		  "is not a stop condition; did you mean rip:ADDR? The conditions are rip:ADDR, " },
		{ "ri:1",
		  "is not a stop condition; did you mean rip:ADDR? The conditions are rip:ADDR, " },
		{ "rip=0x1000",
		  "is not a stop condition; did you mean rip:ADDR? The conditions are rip:ADDR, " },
		{ "rips:1",
		  "is not a stop condition; did you mean rip:ADDR? The conditions are rip:ADDR, " },
		{ "outptu:a:b", "is not a stop condition; did you mean output:DEVICE:TEXT? " },
		{ "rip", "has no number after its kind" },
		{ "rip:", "has no number after its kind" },
		{ "rip:five",
		  "is not a stop condition: five is not a number (decimal, or hex with 0x)" },
		{ "rip:1:x",
		  "is not a stop condition: 1:x is not a number (decimal, or hex with 0x)" },
		{ "rip:1:2:3",
		  "is not a stop condition: 1:2 is not a number (decimal, or hex with 0x)" },
		{ "rip:0x1000x",
		  "is not a stop condition: 0x1000x is not a number (decimal, or hex with 0x)" },
		{ "rip:18446744073709551616",
		  "is not a stop condition: 18446744073709551616 does not fit into 64 bits" },
		{ "pio:0x10000", "names a port above 0xffff" },
		{ "pio:3f8", "has a number in hex without 0x" },
		{ "rip:beef:2", "has a number in hex without 0x" },
		{ "pio:0x100:0", "counts from 1" },
		{ "access:0", "counts from 1" },
		{ "access:1:2",
		  "is not a stop condition: 1:2 is not a number (decimal, or hex with 0x)" },
		{ "step:0", "counts from 1" },
		{ "hlt:now", "hlt takes no value" },
		{ "panic:2", "panic takes no value" },
		{ "rip:1002", "has an address without 0x: write it as 0x1002, or as 0x3ea if " },
		{ "rip:10:3", "has an address without 0x: write it as 0x10, or as 0xa if 10 is " },
		{ "pio:1016", "has an address without 0x" },
		{ "mmio:4096", "has an address without 0x" },
		{ "time:5", "has no unit; write 5s, 5ms, 5us or 5ns" },
		{ "time:soon", "is not a duration" },
		{ "time:", "is not a duration" },
		{ "output:serial0", "must look like output:DEVICE:TEXT" },
		{ "output:serial0:", "must look like output:DEVICE:TEXT" },
		{ "output::text", "must look like output:DEVICE:TEXT" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct stop stop;
		struct why why;

		if (!stop_parse(&stop, cases[i].text, &why) ||
		    strncmp(why.text, cases[i].wrong, strlen(cases[i].wrong)))
			fail_msg("%s: %s", cases[i].text, why.text);
		stop_free(&stop);
	}
}

static void
counts(void **state)
{
	struct stop stop;

	assert_int_equal(stop_parse(&stop, "pio:1:3", NULL), 0);
	assert_false(stop_count(&stop));
	assert_false(stop_count(&stop));
	assert_true(stop_count(&stop));
	for (int i = 0; i < 5; i++)
		assert_false(stop_count(&stop)); /* is hit once only */
	stop_free(&stop);
}

/* The number of matches of text in the first length bytes of output, without overlaps. */
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

/* Texts of two letters with prefixes that repeat inside them, in pieces of any size. */
static void
output(void **state)
{
	uint64_t seed = random_seed();

	for (int i = 0; i < 2000; i++) {
		char text[8], said[201];
		uint64_t times = 1 + random_below(&seed, 4);
		struct stop stop = { 0 };
		bool before = false;
		char spec[64];

		random_text(&seed, text, 1 + random_below(&seed, 6));
		random_text(&seed, said, 200);
		snprintf(spec, sizeof(spec), "output:tty:%s:%llu", text, (unsigned long long)times);
		assert_int_equal(stop_parse(&stop, spec, NULL), 0);
		for (size_t at = 0; at < 200;) {
			size_t piece = random_below(&seed, 9);
			bool now, reached;

			if (piece > 200 - at)
				piece = 200 - at;
			reached = stop_output(&stop, "tty", (const uint8_t *)said + at, piece);
			assert_false(
			    stop_output(&stop, "other", (const uint8_t *)text, strlen(text)));
			at += piece;
			now = naive(said, at, text) >= times;
			assert_int_equal(reached, now && !before);
			before = now;
		}
		stop_free(&stop);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(valid_conditions),
		cmocka_unit_test(invalid_conditions),
		cmocka_unit_test(counts),
		cmocka_unit_test(output),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
