/* SPDX-License-Identifier: BSD-2-Clause */
/* Output of streams: back-pressure, dead readers, pauses, closing. */
#include "unit/stream_bench.h"

#include <pthread.h>
#include <sched.h>
#include <sys/time.h>

/* Other processes share the flags of an inherited descriptor: O_NONBLOCK must stay clear. */
static void
inherited_descriptors_keep_their_flags(void **state)
{
	int writer = pipe_at(0), reader = pipe_at(1);

	bench_open("stdio", "stdio");
	assert_int_equal(write(writer, "in", 2), 2);
	put("out");
	until(stream_readable(&bench.stream) == 2);
	assert_int_equal(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(1, F_GETFL) & O_NONBLOCK, 0);
	assert_reads(reader, "out");
	bench_close();
	assert_true(fcntl(0, F_GETFL) >= 0 && fcntl(1, F_GETFL) >= 0);
	close(writer);
	close(reader);
}

/* Like a vCPU: writes as much as fits and retries. */
struct putter {
	const char *bytes;
	size_t length;
};

static void *
put_all(void *context)
{
	struct putter *p = context;

	for (size_t at = 0; at < p->length;) {
		size_t n = p->length - at < 16 ? p->length - at : 16;

		n = stream_write(&bench.stream, p->bytes + at, n);
		at += n;
		if (!n)
			sched_yield();
	}
	return NULL;
}

static void
a_mebibyte_through_a_stalling_pipe(void **state)
{
	struct putter putter = { .length = 1 << 20 };
	char *bytes = pattern(putter.length), *got = malloc(putter.length);
	int reader = pipe_at(1);
	size_t length = 0;
	pthread_t thread;

	putter.bytes = bytes;
	fcntl(reader, F_SETFL, O_NONBLOCK);
	fcntl(reader, F_SETPIPE_SZ, 8192);
	bench_open("stdio", "");
	assert_int_equal(pthread_create(&thread, NULL, put_all, &putter), 0);
	while (length < putter.length) {
		ssize_t n = read(reader, got + length, 10000);

		if (n > 0)
			length += (size_t)n;
		loop_once(&bench.loop, 0);
	}
	pthread_join(thread, NULL);
	assert_memory_equal(got, bytes, length);
	assert_true(bench.writable > 0);
	assert_int_equal(bench.record.length, putter.length);
	assert_int_equal(bench.stream.dropped, 0);
	free(bytes);
	free(got);
	close(reader);
}

/* Fills pipe and buffer until nothing fits. */
static size_t
fill(void)
{
	size_t total = 0, n;

	do {
		while ((n = stream_write(&bench.stream, "0123456789abcdef", 16)) > 0)
			total += n;
		settle();
	} while (stream_writable(&bench.stream));
	bench.writable = 0;
	return total;
}

static void
writable_is_called_after_a_stall(void **state)
{
	int reader = pipe_at(1);
	char bytes[65536];

	fcntl(reader, F_SETPIPE_SZ, 4096);
	bench_open("stdio", "");
	assert_int_equal(fill(), 4096 + STREAM_OUTPUT_SIZE);
	assert_int_equal(stream_writable(&bench.stream), 0);
	settle();
	assert_int_equal(bench.writable, 0);
	assert_int_equal(read(reader, bytes, sizeof(bytes)), 4096);
	until(bench.writable == 1);
	assert_int_equal(stream_writable(&bench.stream), STREAM_OUTPUT_SIZE);
	put("more");
	settle();
	assert_int_equal(bench.writable, 1); /* the write found room and did not ask */
	close(reader);
}

static void
a_dead_reader_does_not_block_the_guest(void **state)
{
	int reader = pipe_at(1);

	fcntl(reader, F_SETPIPE_SZ, 4096);
	bench_open("stdio", "");
	fill();
	close(reader);
	until(bench.writable == 1);
	assert_true(bench.stream.failed);
	assert_logged("cannot write to stdio: Broken pipe");
	for (int i = 0; i < 1000; i++)
		put("0123456789abcdef");
	settle();
	assert_int_equal(bench.stream.dropped, STREAM_OUTPUT_SIZE + 16000);
	assert_null(strstr(strstr(bench_log(), "Broken pipe") + 1, "Broken pipe"));
	bench_close();
	assert_logged("20096 bytes of output were dropped");
}

/* Without output, a dead reader is not an error. */
static void
a_dead_reader_without_output(void **state)
{
	close(pipe_at(1));
	bench_open("stdio", "");
	settle();
	bench_close();
	assert_false(bench.stream.failed);
	assert_string_equal(bench_log(), "");
}

static void
a_full_disk(void **state)
{
	bench_open("file:/dev/full", "");
	put("x");
	until(bench.stream.failed);
	assert_logged("cannot write to file:/dev/full: No space left on device");
	put("y");
	assert_int_equal(bench.stream.dropped, 2);
}

static void
dev_null(void **state)
{
	bench_open("file:/dev/null", "file:/dev/null");
	put("x");
	settle();
	assert_takes("");
	assert_false(bench.stream.failed);
	bench_close();
	bench_open("", "file:/dev/zero");
	{
		char bytes[10000];

		memset(bytes, 1, sizeof(bytes));
		assert_int_equal(stream_read(&bench.stream, bytes, sizeof(bytes)), sizeof(bytes));
		assert_int_equal(bytes[0] | bytes[9999], 0);
	}
}

/* While the machine is paused, no byte passes in either direction. Afterwards all do. */
static void
pause_without_snapshot(void **state)
{
	int writer = pipe_at(0), reader = pipe_at(1);

	fcntl(reader, F_SETFL, O_NONBLOCK);
	bench_open("stdio", "stdio");
	settle();
	for (int i = 0; i < 3; i++) {
		unsigned before = bench.readable;
		char byte;

		loop_quiet(&bench.loop, true);
		assert_int_equal(write(writer, "x", 1), 1);
		put("y");
		settle();
		assert_int_equal(bench.readable, before);
		assert_int_equal(read(reader, &byte, 1), -1);
		loop_quiet(&bench.loop, false);
		until(bench.readable == before + 1);
		assert_takes("x");
		assert_reads(reader, "y");
	}
	close(writer);
	close(reader);
}

static void *
read_late(void *context)
{
	int fd = *(int *)context;
	static char got[3 * STREAM_OUTPUT_SIZE];
	size_t length = 0;
	ssize_t n;

	usleep(50000);
	while ((n = read(fd, got + length, 1000)) > 0) {
		length += (size_t)n;
		usleep(1000);
	}
	return (void *)length;
}

static void
closing_waits_for_a_slow_reader(void **state)
{
	int reader = pipe_at(1);
	void *length;
	pthread_t thread;
	size_t put_in;

	fcntl(reader, F_SETPIPE_SZ, 4096);
	bench_open("stdio", "");
	put_in = fill();
	assert_int_equal(pthread_create(&thread, NULL, read_late, &reader), 0);
	bench_close();
	dup2(bench.kept[1], 1); /* closes the last write end */
	pthread_join(thread, &length);
	assert_int_equal((size_t)length, put_in);
	close(reader);
}

static void
interrupt(int signal_number)
{
	bench.interrupted = true;
}

static void
closing_can_be_interrupted(void **state)
{
	struct itimerval soon = { .it_value.tv_usec = 30000 };
	int reader = pipe_at(1);

	fcntl(reader, F_SETPIPE_SZ, 4096);
	bench_open("stdio", "");
	fill();
	signal(SIGALRM, interrupt);
	assert_int_equal(setitimer(ITIMER_REAL, &soon, NULL), 0);
	bench_close();
	assert_logged("4096 bytes of output were dropped");
	close(reader);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(inherited_descriptors_keep_their_flags),
		TEST(a_mebibyte_through_a_stalling_pipe),
		TEST(writable_is_called_after_a_stall),
		TEST(a_dead_reader_does_not_block_the_guest),
		TEST(a_dead_reader_without_output),
		TEST(a_full_disk),
		TEST(dev_null),
		TEST(pause_without_snapshot),
		TEST(closing_waits_for_a_slow_reader),
		TEST(closing_can_be_interrupted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
