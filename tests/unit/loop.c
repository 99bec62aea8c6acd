/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O loop: timers on the VM's clock, deferred work, wake-ups, sources that stop during a
 * pause, and listening sockets without a descriptor for a peer.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
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

static unsigned calls_so_far(bool count);

static void
took(struct note *note)
{
	note->calls++;
	note->at = clock_now(&note->bench->clock);
	note->order = calls_so_far(true);
}

static unsigned
calls_so_far(bool count)
{
	static unsigned calls;

	return count ? ++calls : calls;
}

static void
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

static void
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

static void
run(struct loop_deferred *deferred)
{
	struct note *note = deferred->context;

	took(note);
	if (note->again) {
		note->again--;
		loop_defer(&note->bench->loop, deferred);
	}
}

static struct note
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
static void
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

static void
speak(struct bench *bench)
{
	clock_start(&bench->clock);
	loop_quiet(&bench->loop, false);
}

static void
hush(struct bench *bench)
{
	clock_stop(&bench->clock);
	loop_quiet(&bench->loop, true);
}

/* Runs the loop for some host time, with the work due then. */
static void
turn(struct bench *bench, uint64_t ns)
{
	uint64_t end = clock_host() + ns;

	do
		assert_int_equal(loop_once(&bench->loop, 1), 0);
	while (clock_host() < end);
	for (int i = 0; i < 10; i++)
		assert_int_equal(loop_once(&bench->loop, 0), 0);
}

static void
open_pipe(struct note *note, bool device)
{
	assert_int_equal(pipe2(note->pipe, O_CLOEXEC | O_NONBLOCK), 0);
	note->source.device = device;
	assert_int_equal(loop_add(&note->bench->loop, &note->source, note->pipe[0], EPOLLIN), 0);
}

static void
close_pipe(struct note *note)
{
	loop_remove(&note->bench->loop, &note->source);
	close(note->pipe[0]);
	close(note->pipe[1]);
}

static void
put(struct note *note)
{
	assert_int_equal(write(note->pipe[1], "x", 1), 1);
}

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

/* In a paused machine the time stops: a deadline is as far away after the pause as before. */
static void
quiet(void **state)
{
	struct bench *bench = *state;
	struct note timer, device, host, work;
	uint64_t stopped;

	notes(bench, &timer, 1);
	notes(bench, &device, 1);
	notes(bench, &host, 1);
	notes(bench, &work, 1);
	open_pipe(&device, true);
	open_pipe(&host, false);
	loop_timer_add(&bench->loop, &timer.timer);
	put(&device);
	put(&host);
	loop_defer(&bench->loop, &work.deferred);
	loop_timer_set(&bench->loop, &timer.timer, 10 * MS, 0);
	turn(bench, 15 * MS); /* quiet from the start */
	assert_int_equal(host.calls, 1);
	assert_int_equal(device.calls + work.calls + timer.calls, 0);
	assert_int_equal(clock_now(&bench->clock), 0);

	speak(bench);
	turn(bench, 3 * MS);
	assert_int_equal(device.calls, 1);
	assert_int_equal(work.calls, 1);
	hush(bench);
	stopped = clock_now(&bench->clock);
	loop_defer(&bench->loop, &work.deferred);
	put(&device);
	put(&host);
	turn(bench, 15 * MS);
	assert_int_equal(clock_now(&bench->clock), stopped);
	assert_int_equal(host.calls, 2);
	assert_int_equal(device.calls, 1);
	assert_int_equal(work.calls, 1);
	if (stopped < 10 * MS) /* else the host is too slow for this test */
		assert_int_equal(timer.calls, 0);

	speak(bench);
	turn(bench, 20 * MS);
	assert_int_equal(device.calls, 2);
	assert_int_equal(work.calls, 2);
	assert_int_equal(timer.calls, 1);
	assert_true(timer.at >= 10 * MS);
	close_pipe(&device);
	close_pipe(&host);
}

static void
deferred(void **state)
{
	struct bench *bench = *state;
	struct note n[4];

	notes(bench, n, 4);
	speak(bench);
	for (int i = 3; i >= 0; i--)
		loop_defer(&bench->loop, &n[i].deferred);
	loop_defer(&bench->loop, &n[3].deferred);           /* queued once only */
	loop_deferred_remove(&bench->loop, &n[0].deferred); /* the last one */
	loop_deferred_remove(&bench->loop, &n[2].deferred);
	loop_defer(&bench->loop, &n[2].deferred);
	turn(bench, 2 * MS);
	assert_int_equal(n[0].calls, 0);
	assert_int_equal(n[1].calls, 1);
	assert_int_equal(n[2].calls, 1);
	assert_int_equal(n[3].calls, 1);
	assert_true(n[3].order < n[1].order && n[1].order < n[2].order);

	/* Work that it queues runs in the next turn. */
	n[0].again = 2;
	loop_defer(&bench->loop, &n[0].deferred);
	assert_int_equal(loop_once(&bench->loop, 100), 0);
	assert_int_equal(n[0].calls, 1);
	assert_int_equal(loop_once(&bench->loop, 100), 0);
	assert_int_equal(n[0].calls, 2);
	turn(bench, 2 * MS);
	assert_int_equal(n[0].calls, 3);
}

static void *
defer_later(void *argument)
{
	const struct timespec nap = { .tv_nsec = 5 * MS };
	struct note *note = argument;

	nanosleep(&nap, NULL);
	loop_defer(&note->bench->loop, &note->deferred);
	return NULL;
}

static void *
wake_later(void *argument)
{
	const struct timespec nap = { .tv_nsec = 5 * MS };

	nanosleep(&nap, NULL);
	loop_wake(argument);
	return NULL;
}

/* The loop has nothing else to wait for: only the other thread can end the wait. */
static void
other_threads(void **state)
{
	struct bench *bench = *state;
	pthread_t thread;
	struct note n;

	notes(bench, &n, 1);
	speak(bench);
	assert_int_equal(loop_once(&bench->loop, 0), 0); /* the wake-up by loop_quiet */
	assert_int_equal(pthread_create(&thread, NULL, defer_later, &n), 0);
	while (!n.calls)
		assert_int_equal(loop_once(&bench->loop, -1), 0);
	pthread_join(thread, NULL);
	assert_int_equal(n.calls, 1);
	assert_int_equal(loop_once(&bench->loop, 0), 0);
	assert_int_equal(pthread_create(&thread, NULL, wake_later, &bench->loop), 0);
	assert_int_equal(loop_once(&bench->loop, -1), 0);
	pthread_join(thread, NULL);
}

static void
sources(void **state)
{
	struct bench *bench = *state;
	struct loop_source source = { .fd = -1, .ready = ready };
	char path[] = "/tmp/minivmm-loop-XXXXXX";
	int file = mkstemp(path);
	struct note n[2];

	assert_true(file >= 0);
	unlink(path);
	assert_int_equal(loop_add(&bench->loop, &source, file, EPOLLIN), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(source.fd, -1);
	close(file);

	notes(bench, n, 2);
	open_pipe(&n[0], true);
	open_pipe(&n[1], true);
	speak(bench);
	/* Without events the source is not called, not even for a hang-up. */
	assert_int_equal(loop_change(&bench->loop, &n[0].source, 0), 0);
	put(&n[0]);
	turn(bench, 2 * MS);
	assert_int_equal(n[0].calls, 0);
	assert_int_equal(loop_change(&bench->loop, &n[0].source, EPOLLIN), 0);
	turn(bench, 2 * MS);
	assert_int_equal(n[0].calls, 1);

	/* Each removes the other: only the first one is called. */
	n[0].removes = &n[1];
	n[1].removes = &n[0];
	put(&n[0]);
	put(&n[1]);
	turn(bench, 2 * MS);
	assert_true((n[0].calls == 1) != (n[1].calls == 0));
	close_pipe(&n[0]);
	close_pipe(&n[1]);
}

/* A peer calls, and there is no descriptor for it: the listener rests, without events, and then
 * tries again; the spare descriptor is taken first. */
static void
accept_it(struct loop_source *source, uint32_t events)
{
	struct note *note = source->context;

	note->calls++;
	note->order = (unsigned)listener_accept(&note->bench->loop, source, NULL);
}

static void
listeners(void **state)
{
	struct bench *bench = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t size = sizeof(address);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), peers[2];
	struct note n = { .bench = bench };
	struct listener_spare spare = { .fd = -1 };
	struct loop_source other = { .fd = -1, .ready = accept_it, .context = &n };
	struct rlimit limit, low;

	n.source = (struct loop_source){ .fd = -1, .ready = accept_it, .context = &n };
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(fd, 4), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	for (int i = 0; i < 2; i++) {
		peers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(peers[i], (struct sockaddr *)&address, size), 0);
	}
	listener_reserve(&spare);
	assert_true(spare.fd >= 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	for (low.rlim_cur = 0; fcntl((int)low.rlim_cur, F_GETFD) >= 0; low.rlim_cur++)
		;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(loop_add(&bench->loop, &n.source, fd, EPOLLIN), 0);
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_once(&bench->loop, 0), 0);
	assert_int_equal(n.calls, 1);
	assert_int_equal((int)n.order, -1);
	while (n.calls == 1) /* no other event wakes it */
		assert_int_equal(loop_once(&bench->loop, -1), 0);

	/* Removed, it does not try again. */
	loop_remove(&bench->loop, &n.source);
	assert_null(bench->loop.resting);
	/* The spare descriptor. */
	other.fd = fd;
	close(listener_accept(&bench->loop, &other, &spare));
	assert_int_equal(spare.fd, -1);
	listener_reserve(&spare);
	assert_true(spare.fd >= 0);
	listener_release(&spare);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int i = 0; i < 2; i++)
		close(peers[i]);
	close(fd);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(timers),       TEST(timers_in_order), TEST(periods),  TEST(retries),
		TEST(greedy_timer), TEST(quiet),           TEST(deferred), TEST(other_threads),
		TEST(sources),      TEST(listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
