/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PC's real-time clock and CMOS memory: Motorola's MC146818A (data sheet of 1984) with the PC's
 * century byte at 0x32, behind an index port and a data port.
 *
 * No code runs each second. The time of day is a base time plus the VM time that has passed since.
 * rtc_poll() sets the flags of register C for the period since the previous poll. A timer runs only
 * while an interrupt is enabled. While the clock is stopped (SET, or the divider in reset), the
 * time registers are plain memory.
 */
#include <minivmm/plugin.h>
#include <time.h>

#include "rtc.h"

#define SECOND 1000000000ull
#define HZ 32768u /* frequency of the crystal */
#define UPDATE                                                                                     \
	2228000u /* ns for which UIP is set before each second: 244 us notice, 1984 us update */
#define DAYS_TO_1970 719528u

#define A_RATE 0x0fu
#define A_DIVIDER 0x70u
#define A_RUNS 0x20u /* value of A_DIVIDER: 32768 Hz crystal, divider running */
#define A_UIP 0x80u

#define FLAG_UPDATE 0x10u /* enabled in B, set in C */
#define FLAG_ALARM 0x20u
#define FLAG_PERIODIC 0x40u
#define FLAGS 0x70u
#define C_IRQ 0x80u

static bool
rtc_divides(const struct rtc *r)
{
	return (r->a & A_DIVIDER) == A_RUNS;
}

static bool
rtc_runs(const struct rtc *r)
{
	return rtc_divides(r) && !(r->b & B_SET);
}

/* Returns the whole seconds of VM time since the base time. */
static uint64_t
rtc_passed(const struct rtc *r, uint64_t now)
{
	return (now - r->since) / SECOND;
}

static uint64_t
rtc_second(const struct rtc *r, uint64_t now)
{
	return (r->second + rtc_passed(r, now)) % CYCLE;
}

/* Starts the clock with the time in its registers. */
static void
rtc_set_time(struct rtc *r, uint64_t now)
{
	rtc_load(r);
	r->since += rtc_passed(r, now) * SECOND;
}

/* Returns the ticks of the crystal from the base time to this VM time. */
static uint64_t
rtc_ticks(const struct rtc *r, uint64_t instant)
{
	uint64_t ns = instant - r->since;

	return ns / SECOND * HZ + ns % SECOND * HZ / SECOND;
}

/* Returns the VM time of a tick, rounded up. */
static uint64_t
rtc_instant(const struct rtc *r, uint64_t tick)
{
	return r->since + tick / HZ * SECOND + (tick % HZ * SECOND + HZ - 1) / HZ;
}

/* Returns the log2 of the ticks between two periodic interrupts; -1: no periodic interrupts. */
static int
rtc_rate(const struct rtc *r)
{
	int rate = r->a & A_RATE;

	if (!rate || !rtc_divides(r))
		return -1;
	return rate < 3 ? rate + 6 : rate - 1;
}

/* Sets the flags for the period since the last poll, and the interrupt line. */
static void
rtc_poll(struct minivmm_device *dev)
{
	struct rtc *r = minivmm_state(dev);
	uint64_t now = minivmm_now(dev), last = r->polled, seconds;
	int rate = rtc_rate(r);

	r->polled = now;
	if (rate >= 0 && rtc_ticks(r, now) >> rate != rtc_ticks(r, last) >> rate)
		r->c |= FLAG_PERIODIC;
	seconds = rtc_passed(r, now) - rtc_passed(r, last);
	if (rtc_runs(r) && seconds) {
		uint64_t after = rtc_second(r, last) + 1;

		r->c |= FLAG_UPDATE;
		if (rtc_alarm(r, after) - after < seconds)
			r->c |= FLAG_ALARM;
	}
	if (r->c & r->b & FLAGS) {
		r->c |= C_IRQ;
		minivmm_irq_raise(dev, &r->irq);
	} else {
		r->c &= (uint8_t)~C_IRQ;
		minivmm_irq_lower(dev, &r->irq);
	}
}

/* Sets the timer to the next time at which an interrupt may occur. */
static void
rtc_schedule(struct minivmm_device *dev)
{
	const struct rtc *r = minivmm_state(dev);
	uint64_t next = NEVER, passed = rtc_passed(r, r->polled), when;
	uint32_t wanted = r->b & (uint32_t)~r->c & FLAGS;
	int rate = rtc_rate(r);

	if (r->c & C_IRQ) /* the interrupt stays set until C is read */
		wanted = 0;
	if (wanted & FLAG_PERIODIC && rate >= 0)
		next = rtc_instant(r, ((rtc_ticks(r, r->polled) >> rate) + 1) << rate);
	if (wanted & FLAG_UPDATE && rtc_runs(r)) {
		when = r->since + (passed + 1) * SECOND;
		next = when < next ? when : next;
	}
	if (wanted & FLAG_ALARM && rtc_runs(r)) {
		uint64_t after = rtc_second(r, r->polled) + 1, alarm = rtc_alarm(r, after);

		when = alarm == NEVER ? NEVER : r->since + (passed + 1 + alarm - after) * SECOND;
		next = when < next ? when : next;
	}
	if (next == NEVER)
		minivmm_timer_cancel(dev, 0);
	else
		minivmm_timer_set(dev, 0, next, 0);
}

static int
rtc_fire(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	rtc_poll(dev);
	rtc_schedule(dev);
	return 0;
}

static void
rtc_write_a(struct rtc *r, uint8_t value)
{
	uint64_t now = r->polled;
	bool ran = rtc_runs(r), divided = rtc_divides(r);

	if (ran && (value & A_DIVIDER) != A_RUNS)
		rtc_latch(r, rtc_second(r, now), r->bytes);
	r->a = value & (uint8_t)~A_UIP;
	/* The first update comes half a second after the divider is released. */
	if (!divided && rtc_divides(r))
		r->since = now - SECOND / 2;
	if (!ran && rtc_runs(r))
		rtc_set_time(r, now);
}

static void
rtc_write_b(struct rtc *r, uint8_t value)
{
	uint64_t now = r->polled;
	bool ran = rtc_runs(r);

	if (value & B_SET)
		value &= (uint8_t)~FLAG_UPDATE;
	if (ran && value & B_SET)
		rtc_latch(r, rtc_second(r, now), r->bytes);
	r->b = value;
	if (!ran && rtc_runs(r))
		rtc_set_time(r, now);
}

static void
rtc_write_byte(struct rtc *r, uint8_t index, uint8_t value)
{
	bool moves = rtc_runs(r) && rtc_is_time(index);

	if (moves)
		rtc_latch(r, rtc_second(r, r->polled), r->bytes);
	r->bytes[index] = value;
	if (moves)
		rtc_set_time(r, r->polled);
}

static int
rtc_write(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t wide)
{
	struct rtc *r = minivmm_state(dev);
	uint8_t value = (uint8_t)wide;

	if (access->offset == 0) {
		r->index = value & (BYTES - 1); /* bit 7 masks the NMI, which no device raises */
		return 0;
	}
	rtc_poll(dev);
	if (r->index == A)
		rtc_write_a(r, value);
	else if (r->index == B)
		rtc_write_b(r, value);
	else if (r->index != C && r->index != D)
		rtc_write_byte(r, r->index, value);
	rtc_poll(dev);
	rtc_schedule(dev);
	return 0;
}

static uint8_t
rtc_read_byte(const struct rtc *r, uint64_t now)
{
	uint8_t bytes[BYTES];
	bool updates = rtc_runs(r) && (now - r->since) % SECOND >= SECOND - UPDATE;

	switch (r->index) {
	case A:
		return (uint8_t)(r->a | (updates ? A_UIP : 0));
	case B:
		return r->b;
	case D:
		return 0x80; /* the battery is good */
	default:
		if (!rtc_runs(r) || !rtc_is_time(r->index))
			return r->bytes[r->index];
		rtc_latch(r, rtc_second(r, now), bytes);
		return bytes[r->index];
	}
}

static int
rtc_read(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	struct rtc *r = minivmm_state(dev);

	*value = 0xff; /* the index port is write-only */
	if (access->offset == 0)
		return 0;
	if (r->index != C) {
		*value = rtc_read_byte(r, minivmm_now(dev));
		return 0;
	}
	rtc_poll(dev);
	*value = r->c;
	r->c = 0;
	minivmm_irq_lower(dev, &r->irq);
	rtc_schedule(dev);
	return 0;
}

static int
rtc_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct rtc *r = minivmm_state(dev);
	struct timespec host;

	if (start->reason != MINIVMM_FRESH)
		return 0;
	r->since = r->polled = minivmm_now(dev);
	r->second = r->epoch;
	if (!r->epoch) {
		clock_gettime(CLOCK_REALTIME, &host);
		r->second = host.tv_sec > 0 ? (uint64_t)host.tv_sec : 0;
		r->since -= (uint64_t)host.tv_nsec;
	}
	r->second = (r->second + (uint64_t)DAYS_TO_1970 * DAY) % CYCLE;
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct rtc, irq, "none", "interrupt line; 8 in a PC", .flags = MINIVMM_EDGE),
	MINIVMM_OPTION(
	    struct rtc, epoch, "0",
	    "time at the start of the machine, in seconds since 1970, UTC; 0: the host's time",
	    .max = 250000000000),
	MINIVMM_END,
};

static const struct minivmm_register registers[] = {
	{ 0, "INDEX", NULL },
	{ 1, "DATA", NULL },
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x70",
	  .length = 2,
	  .widths = MINIVMM_W8,
	  .read = rtc_read,
	  .write = rtc_write,
	  .registers = registers,
	  .help = "first of the two ports" },
	MINIVMM_END,
};

static const struct minivmm_timer timers[] = {
	{ .name = "event", .fire = rtc_fire, .help = "the next interrupt" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct rtc, index, .max = BYTES - 1, .help = "INDEX"),
	MINIVMM_FIELD(struct rtc, a, .initial = A_RUNS | 6, .max = 0x7f, .help = "register A"),
	MINIVMM_FIELD(struct rtc, b, .initial = B_24, .help = "register B"),
	MINIVMM_FIELD(struct rtc, c, .help = "register C"),
	MINIVMM_FIELD(struct rtc, weekday, .max = 6,
		      .help = "offset of the day of the week from the date's"),
	MINIVMM_FIELD(struct rtc, second, .max = CYCLE - 1,
		      .help = "base time, in seconds since the year 0"),
	MINIVMM_FIELD(struct rtc, since, .help = "VM time of the base time, in ns"),
	{ .name = "looked",
	  .type = MINIVMM_FIELD_TYPE(struct rtc, polled),
	  .offset = (uint32_t)offsetof(struct rtc, polled),
	  .help = "VM time up to which register C is known, in ns" },
	MINIVMM_FIELD(struct rtc, bytes, .help = "CMOS memory"),
	MINIVMM_END,
};

static const struct minivmm_acpi acpi[] = {
	{ .hid = "PNP0B00", .role = MINIVMM_ACPI_CLOCK },
	MINIVMM_END,
};

static const struct minivmm_plugin rtc = {
	.name = "rtc",
	.summary = "a PC's real-time clock and CMOS memory",
	.state_version = 1,
	.state_size = sizeof(struct rtc),
	.options = options,
	.ranges = ranges,
	.timers = timers,
	.fields = fields,
	.start = rtc_start,
	.acpi = acpi,
};
MINIVMM_REGISTER(rtc);
