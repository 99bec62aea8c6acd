/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The I/O loop: deferred work, wake-ups, sources that stop during a pause, and listening sockets
 * without a descriptor for a peer.
 */
#include "unit/loop_bench.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

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

/* Work that always runs does so while the loop is quiet, in its order, and does not spin. */
static void
deferred_always(void **state)
{
	struct bench *bench = *state;
	struct note n[4];

	notes(bench, n, 4);
	n[1].deferred.always = n[3].deferred.always = true;
	for (int i = 0; i < 4; i++)
		loop_defer(&bench->loop, &n[i].deferred);
	turn(bench, 2 * MS);
	assert_int_equal(n[0].calls + n[2].calls, 0);
	assert_int_equal(n[1].calls, 1);
	assert_int_equal(n[3].calls, 1);
	assert_true(n[1].order < n[3].order);

	/* It is queued behind work that waits. If it queues itself, it runs once in a turn. */
	n[3].again = 2;
	loop_defer(&bench->loop, &n[3].deferred);
	for (int calls = 2; calls <= 4; calls++) {
		assert_int_equal(loop_once(&bench->loop, 100), 0);
		assert_int_equal(n[3].calls, calls);
	}
	assert_int_equal(loop_once(&bench->loop, 0), 0);
	assert_int_equal(n[3].calls, 4);
	loop_defer(&bench->loop, &n[1].deferred);
	loop_deferred_remove(&bench->loop, &n[1].deferred);
	loop_deferred_remove(&bench->loop, &n[2].deferred); /* the last one */

	loop_defer(&bench->loop, &n[1].deferred);
	speak(bench);
	turn(bench, 2 * MS);
	assert_int_equal(n[0].calls, 1);
	assert_int_equal(n[1].calls, 2);
	assert_int_equal(n[2].calls, 0);
	assert_true(n[0].order < n[1].order);
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
	const struct CMUnitTest tests[] = {
		TEST(quiet),         TEST(deferred), TEST(deferred_always),
		TEST(other_threads), TEST(sources),  TEST(listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
