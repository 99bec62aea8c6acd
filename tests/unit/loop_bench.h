/* SPDX-License-Identifier: BSD-2-Clause */
/* An I/O loop with its VM clock, and notes, which record when the loop calls them. */
#ifndef TESTS_LOOP_BENCH_H
#define TESTS_LOOP_BENCH_H

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "machine/listener.h"

#include <cmocka.h>

#define MS 1000000ull

struct bench {
	struct vm_clock clock;
	struct loop loop;
};

/* A timer, descriptor or piece of work that records its calls. */
struct note {
	struct bench *bench;
	struct loop_timer timer;
	struct loop_source source;
	struct loop_deferred deferred;
	unsigned calls;
	uint64_t periods, at; /* of the last call of a timer; on the VM's clock */
	unsigned order;       /* position of the last call among all calls */
	unsigned again;       /* number of times that it queues itself again */
	struct note *removes; /* removed by the call */
	int pipe[2];
};

static inline unsigned
calls_so_far(bool count)
{
	static unsigned calls;

	return count ? ++calls : calls;
}

static inline void
took(struct note *note)
{
	note->calls++;
	note->at = clock_now(&note->bench->clock);
	note->order = calls_so_far(true);
}

static inline void
fired(struct loop_timer *timer, uint64_t periods)
{
	struct note *note = timer->context;

	took(note);
	note->periods = periods;
	if (note->again) {
		note->again--;
		loop_timer_set(&note->bench->loop, timer, 0, 0);
	}
}

static inline void
ready(struct loop_source *source, uint32_t events)
{
	struct note *note = source->context;
	char byte;

	took(note);
	if (note->removes)
		loop_remove(&note->bench->loop, &note->removes->source);
	else
		assert_int_equal(read(source->fd, &byte, 1), 1);
}

static inline void
run(struct loop_deferred *deferred)
{
	struct note *note = deferred->context;

	took(note);
	if (note->again) {
		note->again--;
		loop_defer(&note->bench->loop, deferred);
	}
}

static inline struct note
note_of(struct bench *bench)
{
	return (struct note){
		.bench = bench,
		.timer = { .fire = fired },
		.source = { .fd = -1, .ready = ready },
		.deferred = { .run = run },
	};
}

/* Records at fixed addresses. */
static inline void
notes(struct bench *bench, struct note *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		list[i] = note_of(bench);
		list[i].timer.context = list[i].source.context = list[i].deferred.context =
		    &list[i];
	}
}

static int
setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	*state = bench;
	return !bench || loop_init(&bench->loop, &bench->clock);
}

static int
teardown(void **state)
{
	struct bench *bench = *state;

	loop_free(&bench->loop);
	free(bench);
	return 0;
}

static inline void
speak(struct bench *bench)
{
	clock_start(&bench->clock);
	loop_quiet(&bench->loop, false);
}

static inline void
hush(struct bench *bench)
{
	clock_stop(&bench->clock);
	loop_quiet(&bench->loop, true);
}

/* Runs the loop for some host time, with the work due then. */
static inline void
turn(struct bench *bench, uint64_t ns)
{
	uint64_t end = clock_host() + ns;

	do
		assert_int_equal(loop_once(&bench->loop, 1), 0);
	while (clock_host() < end);
	for (int i = 0; i < 10; i++)
		assert_int_equal(loop_once(&bench->loop, 0), 0);
}

static inline void
open_pipe(struct note *note, bool device)
{
	assert_int_equal(pipe2(note->pipe, O_CLOEXEC | O_NONBLOCK), 0);
	note->source.device = device;
	assert_int_equal(loop_add(&note->bench->loop, &note->source, note->pipe[0], EPOLLIN), 0);
}

static inline void
close_pipe(struct note *note)
{
	loop_remove(&note->bench->loop, &note->source);
	close(note->pipe[0]);
	close(note->pipe[1]);
}

static inline void
put(struct note *note)
{
	assert_int_equal(write(note->pipe[1], "x", 1), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
