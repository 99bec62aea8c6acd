/* SPDX-License-Identifier: BSD-2-Clause */
/* Limits of plugins/common/rate.h: their texts, and the accesses that pass. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "../../plugins/common/rate.h"

static char last[256]; /* the last message */

static void
say(struct minivmm_device *dev, uint32_t level, const char *text)
{
	snprintf(last, sizeof(last), "%s", text);
}

static const struct minivmm_services services = { .size = sizeof(services),
						  .log = say,
						  .log_level = MINIVMM_DEBUG };
static struct minivmm_device device = { .services = &services, .name = "limited" };

static struct rate *
with(const char *rate, const char *burst)
{
	static struct rate r;

	memset(&r, 0, sizeof(r));
	assert_int_equal(rate_configure(&device, &r, rate, burst), 0);
	return &r;
}

static void
texts(void **state)
{
	const struct rate *r = with("100M/s, 5000/s", "10M,100");

	assert_int_equal(r->each[RATE_BYTES], 100 << 20);
	assert_int_equal(r->each[RATE_OPERATIONS], 5000);
	assert_int_equal(r->burst[RATE_BYTES], RATE_SECOND / 10);
	assert_int_equal(r->burst[RATE_OPERATIONS], RATE_SECOND / 50);
	r = with(" 3/s ,7B/s", "");
	assert_int_equal(r->each[RATE_BYTES], 7);
	assert_int_equal(r->each[RATE_OPERATIONS], 3);
	assert_int_equal(r->burst[RATE_BYTES], RATE_BURST);
	r = with("", "");
	assert_int_equal(r->each[RATE_BYTES] | r->each[RATE_OPERATIONS], 0);
}

static void
invalid_texts(void **state)
{
	static const char *const rates[] = {
		"1",       "1/",       "/s",      "-1/s",
		"1/s,",    "1/s 2K/s", "1/s,2/s", "0/s",
		"1T/s",    "1.5/s",    ",1/s",    "1/sec",
		"1025G/s", "1 K/s",    "1KB/s",   "99999999999999999999G/s"
	};
	struct rate r = { 0 };

	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++)
		if (!rate_configure(&device, &r, rates[i], ""))
			fail_msg("%s has been taken", rates[i]);
	assert_int_equal(rate_configure(&device, &r, "1/s", "1/s"), -1);
	assert_int_equal(rate_configure(&device, &r, "1/s", "1K"), -1);
	assert_non_null(strstr(last, "is for bytes, which rate does not limit"));
}

static void
no_limit(void **state)
{
	struct rate *r = with("", "");

	for (int i = 0; i < 1000; i++) {
		assert_int_equal(rate_wait(r, 5), 0);
		rate_take(r, 5, 1 << 20);
	}
	assert_int_equal(r->paid[RATE_BYTES] | r->paid[RATE_OPERATIONS], 0);
}

/* A burst passes at once, then one operation per interval. */
static void
operations(void **state)
{
	struct rate *r = with("10/s", "3");
	uint64_t now = 7 * RATE_SECOND;

	for (int i = 0; i < 4; i++) {
		assert_int_equal(rate_wait(r, now), 0);
		rate_take(r, now, 999);
	}
	assert_int_equal(rate_wait(r, now), now + RATE_SECOND / 10);
	now += RATE_SECOND / 10;
	assert_int_equal(rate_wait(r, now - 1), now);
	assert_int_equal(rate_wait(r, now), 0);
	rate_take(r, now, 999);
	assert_int_equal(rate_wait(r, now), now + RATE_SECOND / 10);
}

/* An operation larger than the burst passes; the next one waits longer. */
static void
bytes(void **state)
{
	struct rate *r = with("1M/s, 1000000/s", "1K");
	uint64_t now = 0;

	assert_int_equal(rate_wait(r, now), 0);
	rate_take(r, now, 2 << 20);
	assert_int_equal(rate_wait(r, now), 2 * RATE_SECOND - RATE_SECOND / 1024);
	assert_int_equal(rate_wait(r, 2 * RATE_SECOND), 0);
}

/* In the long run, the rate is kept. */
static void
in_the_long_run(void **state)
{
	struct rate *r = with("64K/s", "1K");
	uint64_t now = 0, passed = 0;

	while (now < 100 * RATE_SECOND) {
		uint64_t until = rate_wait(r, now);

		if (until) {
			assert_true(until > now);
			now = until;
			continue;
		}
		rate_take(r, now, 1500);
		passed += 1500;
	}
	assert_in_range(passed, 100 * 65536, 100 * 65536 + 1024 + 2 * 1500);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts),    cmocka_unit_test(invalid_texts),
		cmocka_unit_test(no_limit), cmocka_unit_test(operations),
		cmocka_unit_test(bytes),    cmocka_unit_test(in_the_long_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
