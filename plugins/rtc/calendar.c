/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The date and the time of day in the clock's registers: numbers in BCD or binary, 12 or 24 hours,
 * and the alarm that matches them.
 */
#include "rtc.h"

struct rtc_date {
	uint32_t year, month, day, weekday, hour, minute,
	    second; /* month and day from 1, weekday from 0 (Sunday) */
};

bool
rtc_is_time(uint32_t index)
{
	return index == SECONDS || index == MINUTES || index == HOURS ||
	       (index >= WEEKDAY && index <= YEAR) || index == CENTURY;
}

static bool
leap(uint32_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

static uint32_t
month_days(uint32_t year, uint32_t month)
{
	static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month - 1] + (month == 2 && leap(year));
}

/* Returns the days from the year 0 to January 1 of this year. */
static uint32_t
year_days(uint32_t year)
{
	return year ? year * 365 + (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 : 0;
}

static struct rtc_date
rtc_date(uint64_t time)
{
	uint32_t days = (uint32_t)(time / DAY % CYCLE_DAYS), rest = (uint32_t)(time % DAY);
	struct rtc_date d = { .year = days / 366, .month = 1 };

	d.weekday = (days + 6) % 7; /* January 1 of the year 0 was a Saturday */
	while (year_days(d.year + 1) <= days)
		d.year++;
	days -= year_days(d.year);
	for (; days >= month_days(d.year, d.month); d.month++)
		days -= month_days(d.year, d.month);
	d.day = days + 1;
	d.hour = rest / 3600;
	d.minute = rest / 60 % 60;
	d.second = rest % 60;
	return d;
}

static uint64_t
rtc_time(const struct rtc_date *d)
{
	uint64_t days = year_days(d->year) + d->day - 1;

	for (uint32_t m = 1; m < d->month; m++)
		days += month_days(d->year, m);
	return days * DAY + d->hour * 3600ull + d->minute * 60 + d->second;
}

static uint8_t
rtc_encode(const struct rtc *r, uint32_t number)
{
	return (uint8_t)(r->b & B_BINARY ? number : number / 10 << 4 | number % 10);
}

/* Returns the number in a register. An invalid BCD number returns UINT32_MAX. */
static uint32_t
rtc_decode(const struct rtc *r, uint8_t byte)
{
	if (r->b & B_BINARY)
		return byte;
	return (byte & 15) > 9 || byte >> 4 > 9 ? UINT32_MAX : (byte >> 4) * 10u + (byte & 15);
}

static uint8_t
rtc_encode_hour(const struct rtc *r, uint32_t hour)
{
	if (r->b & B_24)
		return rtc_encode(r, hour);
	return (uint8_t)(rtc_encode(r, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0));
}

static uint32_t
rtc_decode_hour(const struct rtc *r, uint8_t byte)
{
	uint32_t hour;

	if (r->b & B_24)
		return rtc_decode(r, byte);
	hour = rtc_decode(r, byte & 0x7f);
	return hour < 1 || hour > 12 ? UINT32_MAX : hour % 12 + (byte & 0x80 ? 12 : 0);
}

void
rtc_latch(const struct rtc *r, uint64_t time, uint8_t bytes[BYTES])
{
	struct rtc_date d = rtc_date(time);

	bytes[SECONDS] = rtc_encode(r, d.second);
	bytes[MINUTES] = rtc_encode(r, d.minute);
	bytes[HOURS] = rtc_encode_hour(r, d.hour);
	bytes[WEEKDAY] = rtc_encode(r, (d.weekday + r->weekday) % 7 + 1);
	bytes[MONTHDAY] = rtc_encode(r, d.day);
	bytes[MONTH] = rtc_encode(r, d.month);
	bytes[YEAR] = rtc_encode(r, d.year % 100);
	bytes[CENTURY] = rtc_encode(r, d.year / 100);
}

static uint32_t
clamp(uint32_t number, uint32_t least, uint32_t most)
{
	return number < least ? least : number > most ? most : number;
}

void
rtc_load(struct rtc *r)
{
	struct rtc_date d = {
		.second = clamp(rtc_decode(r, r->bytes[SECONDS]), 0, 59),
		.minute = clamp(rtc_decode(r, r->bytes[MINUTES]), 0, 59),
		.hour = clamp(rtc_decode_hour(r, r->bytes[HOURS]), 0, 23),
		.month = clamp(rtc_decode(r, r->bytes[MONTH]), 1, 12),
		.year = clamp(rtc_decode(r, r->bytes[CENTURY]), 0, 99) * 100 +
			clamp(rtc_decode(r, r->bytes[YEAR]), 0, 99),
	};
	uint32_t weekday = clamp(rtc_decode(r, r->bytes[WEEKDAY]), 1, 7) - 1;

	d.day = clamp(rtc_decode(r, r->bytes[MONTHDAY]), 1, month_days(d.year, d.month));
	r->second = rtc_time(&d);
	r->weekday = (uint8_t)((weekday + 7 - rtc_date(r->second).weekday) % 7);
}

/* Decodes an alarm register. *wanted is its number, or UINT32_MAX if every number matches. Returns
 * false if no number matches. */
static bool
alarm_number(const struct rtc *r, uint32_t index, uint32_t most, uint32_t *wanted)
{
	uint8_t byte = r->bytes[index];

	*wanted = UINT32_MAX;
	if ((byte & 0xc0) == 0xc0)
		return true;
	*wanted = index == HOURS_ALARM ? rtc_decode_hour(r, byte) : rtc_decode(r, byte);
	return *wanted <= most;
}

uint64_t
rtc_alarm(const struct rtc *r, uint64_t time)
{
	uint32_t hour, minute, second;

	if (!alarm_number(r, SECONDS_ALARM, 59, &second) ||
	    !alarm_number(r, MINUTES_ALARM, 59, &minute) ||
	    !alarm_number(r, HOURS_ALARM, 23, &hour))
		return NEVER;
	/* At most 24 + 60 + 60 steps. */
	for (;;) {
		uint32_t of_day = (uint32_t)(time % DAY);

		if (hour != UINT32_MAX && of_day / 3600 != hour)
			time += 3600 - of_day % 3600;
		else if (minute != UINT32_MAX && of_day / 60 % 60 != minute)
			time += 60 - of_day % 60;
		else if (second != UINT32_MAX && of_day % 60 != second)
			time++;
		else
			return time;
	}
}
