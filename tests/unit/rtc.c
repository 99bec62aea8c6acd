/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real-time clock compared with Motorola's MC146818A data sheet, register by register, and with
 * the C library's dates.
 */
#include "../../plugins/rtc/rtc.c"
#include "../../plugins/rtc/calendar.c"

#include <time.h>

#include "unit/fake_services.h"
#include "unit/seed.h"

#define MS 1000000ull
#define LEAP_DAY 1709164800u /* 2024-02-29 00:00:00, a Thursday */

static struct fake fake, restored;

static void
begin(uint64_t epoch)
{
	fake_create(&fake, &rtc);
	((struct rtc *)fake.device.state)->epoch = epoch;
	fake_start(&fake, MINIVMM_FRESH);
}

static int
setup(void **state)
{
	begin(LEAP_DAY);
	return 0;
}

static int
teardown(void **state)
{
	fake_destroy(&fake);
	fake_destroy(&restored);
	return 0;
}

static uint8_t
get(uint8_t index)
{
	fake_write(&fake, 0, index);
	return fake_read(&fake, 1);
}

static void
set(uint8_t index, uint8_t value)
{
	fake_write(&fake, 0, index);
	fake_write(&fake, 1, value);
}

static void
assert_time(const char *expected)
{
	char text[64];

	snprintf(text, sizeof(text), "%02x%02x-%02x-%02x %02x:%02x:%02x %x", get(CENTURY),
		 get(YEAR), get(MONTH), get(MONTHDAY), get(HOURS), get(MINUTES), get(SECONDS),
		 get(WEEKDAY));
	assert_string_equal(text, expected);
}

static void
set_time(uint8_t century, uint8_t year, uint8_t month, uint8_t day, uint8_t hour, uint8_t minute,
	 uint8_t second)
{
	set(CENTURY, century);
	set(YEAR, year);
	set(MONTH, month);
	set(MONTHDAY, day);
	set(HOURS, hour);
	set(MINUTES, minute);
	set(SECONDS, second);
}

static void
starts_with_the_epoch(void **state)
{
	assert_time("2024-02-29 00:00:00 5"); /* Sunday is 1 */
	assert_int_equal(get(A), 0x26);
	assert_int_equal(get(B), 0x02);
	assert_int_equal(get(C), 0);
	assert_int_equal(get(D), 0x80);
	assert_int_equal(fake_read(&fake, 0), 0xff);
	fake_pass(&fake, 86399 * SECOND + 999 * MS);
	assert_time("2024-02-29 23:59:59 5");
	fake_pass(&fake, MS);
	assert_time("2024-03-01 00:00:00 6");
}

/* Without an epoch, the host's time, within the seconds of this test. */
static void
starts_with_the_hosts_time(void **state)
{
	time_t before = time(NULL), after;
	struct tm a, b;
	uint8_t minute;

	fake_destroy(&fake);
	begin(0);
	minute = get(MINUTES);
	after = time(NULL);
	gmtime_r(&before, &a);
	gmtime_r(&after, &b);
	assert_true(minute == rtc_encode(fake.device.state, (uint32_t)a.tm_min) ||
		    minute == rtc_encode(fake.device.state, (uint32_t)b.tm_min));
	assert_int_equal(get(CENTURY), 0x20);
}

static void
dates(void **state)
{
	uint64_t seed = random_seed();

	for (int i = 0; i < 20000; i++) {
		/* From the year 1 to 9999. */
		time_t when =
		    (time_t)random_below(&seed, 253402300799ull + 62135596800ull) - 62135596800;
		uint64_t ours = (uint64_t)(when + (time_t)DAYS_TO_1970 * DAY);
		struct rtc_date d = rtc_date(ours);
		struct tm tm;

		gmtime_r(&when, &tm);
		assert_int_equal(d.year, tm.tm_year + 1900);
		assert_int_equal(d.month, tm.tm_mon + 1);
		assert_int_equal(d.day, tm.tm_mday);
		assert_int_equal(d.weekday, tm.tm_wday);
		assert_int_equal(d.hour, tm.tm_hour);
		assert_int_equal(d.minute, tm.tm_min);
		assert_int_equal(d.second, tm.tm_sec);
		assert_int_equal(rtc_time(&d), ours);
	}
	assert_int_equal(rtc_date(CYCLE - 1).year, 9999);
	assert_int_equal(rtc_date(0).year, 0);
}

static void
formats(void **state)
{
	fake_pass(&fake, (13 * 3600 + 45 * 60 + 59) * SECOND);
	assert_time("2024-02-29 13:45:59 5");
	set(B, B_24 | B_BINARY);
	assert_int_equal(get(HOURS), 13);
	assert_int_equal(get(MINUTES), 45);
	assert_int_equal(get(YEAR), 24);
	assert_int_equal(get(CENTURY), 20);
	set(B, B_BINARY);
	assert_int_equal(get(HOURS), 0x81);
	set(B, 0);
	assert_int_equal(get(HOURS), 0x81);
	fake_pass(&fake, 9 * 3600 * SECOND); /* 22:45 */
	assert_int_equal(get(HOURS), 0x90);
	fake_pass(&fake, 2 * 3600 * SECOND); /* 00:45 */
	assert_int_equal(get(HOURS), 0x12);
	fake_pass(&fake, 12 * 3600 * SECOND); /* 12:45 */
	assert_int_equal(get(HOURS), 0x92);
}

/*
 * mc146818_set_time() of Linux: sets SET, holds the divider, and clears both half a second before
 * the next update.
 */
static void
is_set_by_linux(void **state)
{
	fake_pass(&fake, 300 * MS);
	set(B, B_24 | B_SET);
	set(A, 0x76);
	set_time(0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x59);
	set(WEEKDAY, 6); /* as set: Friday */
	fake_pass(&fake, 5 * SECOND);
	assert_time("1999-12-31 23:59:59 6");
	assert_int_equal(get(A), 0x76);
	set(B, B_24);
	set(A, 0x26);
	fake_pass(&fake, 499 * MS);
	assert_time("1999-12-31 23:59:59 6");
	fake_pass(&fake, MS);
	assert_time("2000-01-01 00:00:00 7");
}

/* SET alone: the divider continues, and the phase is kept. */
static void
set_stops_the_time(void **state)
{
	fake_pass(&fake, 300 * MS);
	set(B, B_24 | B_SET | FLAG_UPDATE);
	assert_int_equal(get(B), B_24 | B_SET); /* SET clears UIE */
	get(C);
	fake_pass(&fake, 10 * SECOND);
	assert_time("2024-02-29 00:00:00 5");
	assert_int_equal(get(C) & FLAG_UPDATE, 0);
	set(SECONDS, 0x30);
	set(B, B_24);
	fake_pass(&fake, 699 * MS);
	assert_time("2024-02-29 00:00:30 5");
	fake_pass(&fake, MS);
	assert_time("2024-02-29 00:00:31 5");
}

static void
is_written_while_it_runs(void **state)
{
	fake_pass(&fake, 300 * MS);
	set(HOURS, 0x12);
	set(WEEKDAY, 1); /* set the weekday to Sunday */
	assert_time("2024-02-29 12:00:00 1");
	fake_pass(&fake, 12 * 3600 * SECOND - 300 * MS);
	assert_time("2024-03-01 00:00:00 2");
}

/* An invalid number becomes the nearest valid one. */
static void
invalid_numbers(void **state)
{
	set(B, B_24 | B_SET);
	set_time(0xff, 0xab, 0x13, 0x32, 0x24, 0x60, 0x0a);
	set(WEEKDAY, 0);
	assert_time("ffab-13-32 24:60:0a 0");
	set(B, B_24);
	assert_time("9999-12-31 23:59:59 1");
	fake_pass(&fake, SECOND);
	assert_time("0000-01-01 00:00:00 2");
}

static void
update_in_progress(void **state)
{
	fake_pass(&fake, 997 * MS);
	assert_int_equal(get(A) & A_UIP, 0);
	fake_pass(&fake, MS);
	assert_int_equal(get(A) & A_UIP, A_UIP);
	assert_int_equal(get(SECONDS), 0);
	fake_pass(&fake, 2 * MS);
	assert_int_equal(get(A) & A_UIP, 0);
	assert_int_equal(get(SECONDS), 1);
	set(A, 0xa6); /* UIP is read-only */
	assert_int_equal(get(A), 0x26);
	set(B, B_24 | B_SET); /* no updates */
	fake_pass(&fake, 998 * MS);
	assert_int_equal(get(A) & A_UIP, 0);
}

static void
update_interrupt(void **state)
{
	set(A, 0x20);
	fake_pass(&fake, SECOND);
	assert_int_equal(get(C), FLAG_UPDATE); /* the flag is set without the interrupt enabled */
	assert_int_equal(get(C), 0);
	assert_false(fake.timers[0].armed);
	fake_pass(&fake, 250 * MS);
	set(B, B_24 | FLAG_UPDATE);
	assert_true(fake.timers[0].armed);
	assert_int_equal(fake.timers[0].deadline, 2 * SECOND);
	fake_pass(&fake, 750 * MS);
	assert_true(fake.line);
	assert_false(fake.timers[0].armed); /* no further interrupt before C is read */
	assert_int_equal(get(C), C_IRQ | FLAG_UPDATE);
	assert_false(fake.line);
	assert_int_equal(fake.timers[0].deadline, 3 * SECOND);
	fake_pass(&fake, SECOND);
	assert_true(fake.line);
	set(B, B_24); /* disabled: the flag stays, the line falls */
	assert_false(fake.line);
	assert_int_equal(get(C), FLAG_UPDATE);
}

static void
periodic_interrupt(void **state)
{
	/* Table 5: RS, ticks of 32768 Hz. */
	static const uint32_t ticks[16] = { 0,   128, 256, 4,    8,    16,   32,   64,
					    128, 256, 512, 1024, 2048, 4096, 8192, 16384 };

	for (uint8_t rate = 0; rate < 16; rate++) {
		set(A, 0x20 | rate);
		set(B, B_24 | FLAG_PERIODIC);
		get(C);
		assert_int_equal(fake.timers[0].armed, rate != 0);
		if (!rate)
			continue;
		for (int i = 0; i < 5; i++) {
			uint64_t period = ticks[rate] * SECOND / 32768;
			uint64_t left = fake.timers[0].deadline - fake.now;

			assert_in_range(left, i ? period - 1 : 1, period + 1);
			fake_pass(&fake, left - 1);
			assert_false(fake.line);
			fake_pass(&fake, 1);
			assert_true(fake.line);
			assert_int_equal(get(C) & (C_IRQ | FLAG_PERIODIC), C_IRQ | FLAG_PERIODIC);
		}
	}
	set(A, 0x76); /* the divider is held */
	assert_false(fake.timers[0].armed);
}

static void
alarm_at(uint8_t hour, uint8_t minute, uint8_t second)
{
	set(HOURS_ALARM, hour);
	set(MINUTES_ALARM, minute);
	set(SECONDS_ALARM, second);
	get(C);
}

static void
alarm_interrupt(void **state)
{
	set(A, 0x20);
	set(B, B_24 | FLAG_ALARM);
	alarm_at(0x01, 0x02, 0x03);
	assert_int_equal(fake.timers[0].deadline, 3723 * SECOND);
	fake_pass(&fake, 3723 * SECOND - 1);
	assert_false(fake.line);
	fake_pass(&fake, 1);
	assert_true(fake.line);
	assert_int_equal(get(C), C_IRQ | FLAG_ALARM | FLAG_UPDATE);
	assert_int_equal(fake.timers[0].deadline, (3723 + 86400ull) * SECOND);
	alarm_at(0xff, 0xc0, 0x30); /* each minute */
	assert_int_equal(fake.timers[0].deadline, (3720 + 30) * SECOND);
	alarm_at(0xff, 0x00, 0xff); /* each second of the first minute of an hour */
	assert_int_equal(fake.timers[0].deadline, 7200 * SECOND);
	fake_pass(&fake, 7200 * SECOND - fake.now);
	get(C);
	assert_int_equal(fake.timers[0].deadline, 7201 * SECOND);
	alarm_at(0xff, 0xff, 0xff);
	assert_int_equal(fake.timers[0].deadline, 7201 * SECOND);
	alarm_at(0x24, 0xff, 0xff); /* never */
	assert_false(fake.timers[0].armed);
	alarm_at(0x0a, 0xff, 0xff);
	assert_false(fake.timers[0].armed);
	fake_pass(&fake, 200000 * SECOND);
	assert_int_equal(get(C), FLAG_UPDATE);
	/* The flag is set without the interrupt enabled, and after a long time without a read. */
	set(B, B_24);
	alarm_at(0x05, 0x00, 0x00);
	fake_pass(&fake, 200000 * SECOND);
	assert_int_equal(get(C), FLAG_ALARM | FLAG_UPDATE);
	set(B, FLAG_ALARM); /* of 12 hours, BCD */
	alarm_at(0x92, 0x00, 0x00);
	assert_int_equal((fake.timers[0].deadline / SECOND) % DAY, 12 * 3600);
}

/* Alarms compared with a search over every second of a day. */
static void
alarms(void **state)
{
	uint64_t seed = random_seed();
	struct rtc *r = fake.device.state;

	set(B, B_24 | B_BINARY);
	for (int i = 0; i < 300; i++) {
		uint8_t h = (uint8_t)random_below(&seed, 26), m = (uint8_t)random_below(&seed, 62),
			s = (uint8_t)random_below(&seed, 62);
		uint64_t from = random_below(&seed, CYCLE), at;

		r->bytes[HOURS_ALARM] = h = random_below(&seed, 3) ? h : 0xff;
		r->bytes[MINUTES_ALARM] = m = random_below(&seed, 3) ? m : 0xff;
		r->bytes[SECONDS_ALARM] = s = random_below(&seed, 3) ? s : 0xff;
		for (at = from; at < from + DAY; at++)
			if ((h == 0xff || at % DAY / 3600 == h) &&
			    (m == 0xff || at / 60 % 60 == m) && (s == 0xff || at % 60 == s))
				break;
		assert_int_equal(rtc_alarm(r, from), at < from + DAY ? at : NEVER);
	}
}

static void
cmos_memory(void **state)
{
	for (unsigned i = 0x0e; i < 0x80; i++)
		if (i != CENTURY)
			set((uint8_t)i, (uint8_t)(i ^ 0x5a));
	for (unsigned i = 0x0e; i < 0x80; i++)
		if (i != CENTURY) {
			assert_int_equal(get((uint8_t)i), i ^ 0x5a);
			assert_int_equal(get((uint8_t)(i | 0x80)), i ^ 0x5a); /* NMI is masked */
		}
	set(C, 0xff);
	set(D, 0x00);
	assert_int_equal(get(D), 0x80);
	assert_int_equal(get(C), 0);
}

static void
survives_a_snapshot(void **state)
{
	fake_pass(&fake, 1234 * MS);
	set(B, B_24 | FLAG_UPDATE | FLAG_ALARM);
	set(WEEKDAY, 2);
	set(0x50, 0xaa);
	fake_write(&fake, 0, 0x50);
	fake_restore(&restored, &fake);
	fake_start(&restored, MINIVMM_RESTORED);
	fake_assert_same(&fake, &restored);
	assert_int_equal(fake_read(&restored, 1), 0xaa);
	fake_pass(&restored, 766 * MS);
	assert_true(restored.line);
	fake_write(&restored, 0, SECONDS);
	assert_int_equal(fake_read(&restored, 1), 2);
	fake_write(&restored, 0, WEEKDAY);
	assert_int_equal(fake_read(&restored, 1), 2);
}

/* State that this clock cannot have: every access must return. */
static void
hostile_state(void **state)
{
	uint64_t seed = random_seed();
	struct rtc *r = fake.device.state;

	for (int i = 0; i < 20000; i++) {
		r->since = random_next(&seed);
		r->polled = random_next(&seed);
		r->second = random_below(&seed, CYCLE);
		r->a = (uint8_t)(random_below(&seed, 3) ? A_RUNS | random_below(&seed, 16)
							: random_below(&seed, 0x80));
		r->b = (uint8_t)random_next(&seed);
		for (uint32_t n = 0; n < BYTES; n++)
			r->bytes[n] = (uint8_t)random_next(&seed);
		get((uint8_t)random_below(&seed, 16));
		set((uint8_t)random_below(&seed, 16), (uint8_t)random_next(&seed));
		assert_null(fields_find_invalid(fields, r, &(uint64_t){ 0 }));
		fake_pass(&fake, random_below(&seed, SECOND));
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(starts_with_the_epoch),
		TEST(starts_with_the_hosts_time),
		TEST(dates),
		TEST(formats),
		TEST(is_set_by_linux),
		TEST(set_stops_the_time),
		TEST(is_written_while_it_runs),
		TEST(invalid_numbers),
		TEST(update_in_progress),
		TEST(update_interrupt),
		TEST(periodic_interrupt),
		TEST(alarm_interrupt),
		TEST(alarms),
		TEST(cmos_memory),
		TEST(survives_a_snapshot),
		TEST(hostile_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
