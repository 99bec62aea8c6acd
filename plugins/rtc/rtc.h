/* SPDX-License-Identifier: BSD-2-Clause */
/* The real-time clock: its state, and the calendar in its registers. All functions run under the
 * device's lock. */
#ifndef PLUGINS_RTC_RTC_H
#define PLUGINS_RTC_RTC_H

#include <minivmm/plugin.h>

/* A time is a number of seconds since the start of the year 0, modulo CYCLE. */
#define DAY 86400u
#define CYCLE_DAYS 3652425u /* days in 10,000 years */
#define CYCLE ((uint64_t)CYCLE_DAYS * DAY)
#define NEVER UINT64_MAX

enum rtc_register {
	SECONDS,
	SECONDS_ALARM,
	MINUTES,
	MINUTES_ALARM,
	HOURS,
	HOURS_ALARM,
	WEEKDAY,
	MONTHDAY,
	MONTH,
	YEAR,
	A,
	B,
	C,
	D,
	CENTURY = 0x32,
	BYTES = 128,
};

#define B_24 0x02u
#define B_BINARY 0x04u
#define B_SET 0x80u

struct rtc {
	struct minivmm_irq irq; /* options */
	uint64_t epoch;
	/* state */
	uint8_t index, a, b, c;
	uint8_t weekday;      /* offset of the day of the week from the date's, 0 to 6 */
	uint64_t second;      /* seconds from the year 0 to the base time */
	uint64_t since;       /* VM time, in ns, of the base time: the start of a second */
	uint64_t polled;      /* VM time, in ns, of the last rtc_poll() */
	uint8_t bytes[BYTES]; /* CMOS memory; its time registers are valid only while stopped */
};

/* Whether the register has a part of the date or the time of day. */
bool rtc_is_time(uint32_t index);
/* Stores the time in its registers. */
void rtc_latch(const struct rtc *r, uint64_t time, uint8_t bytes[BYTES]);
/* Sets the base time and the day of the week from the registers. Values out of range become the
 * nearest valid ones. */
void rtc_load(struct rtc *r);
/* Returns the first time from this one on that matches the alarm; NEVER if none does. */
uint64_t rtc_alarm(const struct rtc *r, uint64_t time);

#endif
