/* SPDX-License-Identifier: BSD-2-Clause */
/* Timers of the I/O loop, on the VM's clock. */
#include "unit/loop_bench.h"

static void
timers(void **state)
{
	struct bench *bench = *state;
	struct note n[4];

	notes(bench, n, 4);
	for (int i = 0; i < 4; i++)
		loop_timer_add(&bench->loop, &n[i].timer);
	speak(bench);
	loop_timer_set(&bench->loop, &n[0].timer, 9 * MS, 0);
	loop_timer_set(&bench->loop, &n[1].timer, 4 * MS, 0);
	loop_timer_set(&bench->loop, &n[2].timer, 5 * MS, 0);
	loop_timer_cancel(&bench->loop, &n[2].timer);
	loop_timer_set(&bench->loop, &n[3].timer, 2000 * MS, 0);
	loop_timer_set(&bench->loop, &n[3].timer, 0, 0); /* in the past, and replaces the earlier
							  * deadline */
	turn(bench, 30 * MS);
	assert_int_equal(n[0].calls, 1);
	assert_int_equal(n[1].calls, 1);
	assert_int_equal(n[2].calls, 0);
	assert_int_equal(n[3].calls, 1);
	assert_int_equal(n[0].periods, 1);
	assert_true(n[0].at >= 9 * MS && n[1].at >= 4 * MS);
	assert_true(n[3].order < n[1].order && n[1].order < n[0].order);
	for (int i = 0; i < 4; i++)
		loop_timer_remove(&bench->loop, &n[i].timer);
	loop_timer_set(&bench->loop, &n[0].timer, 0, 0); /* not in the list */
	turn(bench, 2 * MS);
	assert_int_equal(n[0].calls, 1);
}

/* Timers that are due at the same time fire in the order of their deadlines. */
static void
timers_in_order(void **state)
{
	struct bench *bench = *state;
	struct note n[8];

	notes(bench, n, 8);
	for (int i = 0; i < 8; i++) {
		loop_timer_add(&bench->loop, &n[i].timer);
		loop_timer_set(&bench->loop, &n[i].timer, (uint64_t)(i * 5 % 8) * 1000, 0);
	}
	clock_set(&bench->clock, MS);
	speak(bench);
	turn(bench, 5 * MS);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < 8; j++)
			if (i * 5 % 8 < j * 5 % 8)
				assert_true(n[i].order < n[j].order);
}

/* Periods that passed while the loop was busy are reported in one call, each once. */
static void
periods(void **state)
{
	const struct timespec nap = { .tv_nsec = 20 * MS };
	struct bench *bench = *state;
	struct note n;
	uint64_t sum;

	notes(bench, &n, 1);
	loop_timer_add(&bench->loop, &n.timer);
	speak(bench);
	loop_timer_set(&bench->loop, &n.timer, 3 * MS, 3 * MS);
	nanosleep(&nap, NULL);
	assert_int_equal(loop_once(&bench->loop, 100), 0);
	while (!n.calls)
		assert_int_equal(loop_once(&bench->loop, 100), 0);
	assert_int_equal(n.calls, 1);
	assert_true(n.periods >= 6);
	assert_true(n.periods <= n.at / (3 * MS));
	sum = n.periods;
	assert_int_equal(n.timer.deadline, (sum + 1) * 3 * MS);
	while (n.calls == 1)
		assert_int_equal(loop_once(&bench->loop, 100), 0);
	assert_int_equal(n.timer.deadline, (sum + n.periods + 1) * 3 * MS);
}

/* A timer that cannot be handled now, and that another thread sets or cancels meanwhile. */
enum meanwhile { NOTHING, SET, CANCEL };

struct busy {
	struct note note; /* again: number of times that it cannot be handled */
	enum meanwhile meanwhile;
};

static void
busy(struct loop_timer *timer, uint64_t passed)
{
	struct note *note = timer->context;
	enum meanwhile meanwhile = ((struct busy *)note)->meanwhile;
	struct loop *loop = &note->bench->loop;

	took(note);
	note->periods = passed;
	if (!note->again)
		return;
	note->again--;
	if (meanwhile == SET)
		loop_timer_set(loop, timer, 2000 * MS, 0);
	if (meanwhile == CANCEL)
		loop_timer_cancel(loop, timer);
	loop_timer_retry(loop, timer);
}

static void
retries(void **state)
{
	struct bench *bench = *state;
	struct busy once[3], each, hourly;

	for (int i = 0; i < 5; i++) {
		struct busy *b = i < 3 ? &once[i] : i == 3 ? &each : &hourly;

		notes(bench, &b->note, 1);
		b->meanwhile = i < 3 ? (enum meanwhile)i : NOTHING;
		b->note.again = 1;
		b->note.timer.fire = busy;
		loop_timer_add(&bench->loop, &b->note.timer);
		loop_timer_set(&bench->loop, &b->note.timer, 3 * MS,
			       i < 3    ? 0
			       : i == 3 ? 3 * MS
					: 3600000 * MS);
	}
	speak(bench);
	while (each.note.calls < 2)
		assert_int_equal(loop_once(&bench->loop, 100), 0);
	/* No period is lost: this call has those of the first, too. */
	assert_int_equal(each.note.timer.deadline, (each.note.periods + 1) * 3 * MS);
	/* The next call does not wait for the next period. */
	while (hourly.note.calls < 2)
		assert_int_equal(loop_once(&bench->loop, 100), 0);
	assert_int_equal(hourly.note.periods, 1);
	assert_int_equal(hourly.note.timer.deadline, 3600003 * MS);
	while (once[NOTHING].note.calls < 2)
		assert_int_equal(loop_once(&bench->loop, 100), 0);
	assert_int_equal(once[SET].note.calls, 1);
	assert_true(once[SET].note.timer.armed);
	assert_int_equal(once[SET].note.timer.deadline, 2000 * MS);
	assert_int_equal(once[CANCEL].note.calls, 1);
	assert_false(once[CANCEL].note.timer.armed);
}

/* A timer that is always due must not starve other events. */
static void
greedy_timer(void **state)
{
	struct bench *bench = *state;
	struct note n[2];

	notes(bench, n, 2);
	open_pipe(&n[1], false);
	loop_timer_add(&bench->loop, &n[0].timer);
	speak(bench);
	n[0].again = UINT32_MAX;
	loop_timer_set(&bench->loop, &n[0].timer, 0, 0);
	put(&n[1]);
	turn(bench, 20 * MS);
	assert_true(n[0].calls > 1);
	assert_int_equal(n[1].calls, 1);
	close_pipe(&n[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(timers),  TEST(timers_in_order), TEST(periods),
		TEST(retries), TEST(greedy_timer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
