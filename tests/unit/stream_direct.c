/* SPDX-License-Identifier: BSD-2-Clause */
/* Output that the writing thread delivers itself, without the loop. */
#include "unit/stream_bench.h"

#include <sys/socket.h>
#include <sys/syscall.h>

static size_t added, to_add; /* bytes that the guest writes during a write(2) to the host */

/* Replaces libc's. */
ssize_t
write(int fd, const void *bytes, size_t length)
{
	if (added < to_add && fd == bench.stream.out.fd)
		added += stream_write(&bench.stream, "g", 1);
	return syscall(SYS_write, fd, bytes, length);
}

/* Replaces fd 1 by one end of a socket pair; returns the other end. */
static int
socket_at_stdout(void)
{
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(dup2(ends[0], 1), 1);
	close(ends[0]);
	return ends[1];
}

/* Without another thread: the loop does not run. Other processes share the descriptor's flags. */
static void
output_needs_no_loop(void **state)
{
	char bytes[8];

	for (int kind = 0; kind < 2; kind++) {
		int reader = kind ? socket_at_stdout() : pipe_at(1);

		bench_open("stdio", "");
		settle(); /* runs what stream_start() has deferred */
		for (int i = 0; i < 3; i++) {
			bench.stream.written = 0;
			put("byte");
			assert_int_equal(read(reader, bytes, sizeof(bytes)), 4);
			assert_memory_equal(bytes, "byte", 4);
			assert_false(bench.stream.deferred.queued);
		}
		assert_int_equal(fcntl(1, F_GETFL) & O_NONBLOCK, 0);
		bench_close();
		close(reader);
	}
}

/* A file has the bytes at once, in its right place. */
static void
file_needs_no_loop(void **state)
{
	char bytes[16];
	int fd;

	bench_open(bench_spec("file", "out"), "");
	settle();
	put("one ");
	bench.stream.written = 0;
	put("two");
	assert_false(bench.stream.deferred.queued);
	fd = open(bench_path("out"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), 7);
	assert_memory_equal(bytes, "one two", 7);
	close(fd);
}

/* What follows shortly is left to the loop, which delivers all of it at once, in order. */
static void
a_burst_is_left_to_the_loop(void **state)
{
	int reader = pipe_at(1);

	fcntl(reader, F_SETFL, O_NONBLOCK);
	bench_open("stdio", "");
	settle();
	put("1");
	assert_reads(reader, "1");
	bench.stream.written = clock_host() + 1000000000;
	put("2");
	assert_true(bench.stream.deferred.queued);
	bench.stream.written = 0; /* not a burst, but the 2 is first */
	put("3");
	assert_reads(reader, "");
	settle();
	assert_reads(reader, "23");
	bench.stream.written = 0;
	put("4");
	assert_reads(reader, "4");
	close(reader);
}

/* What does not fit into the pipe stays in order: a stall ends before a byte goes past it. */
static void
output_stays_in_order(void **state)
{
	int reader = pipe_at(1);
	uint8_t bytes[512], next_out = 0, next_in = 0;
	unsigned seed = 1;

	fcntl(reader, F_SETFL, O_NONBLOCK);
	fcntl(reader, F_SETPIPE_SZ, 4096);
	bench_open("stdio", "");
	for (int i = 0; i < 20000; i++) {
		size_t length = (size_t)(rand_r(&seed) % (i % 512 < 256 ? 40 : 7) + 1);
		ssize_t n;

		for (size_t j = 0; j < length; j++)
			bytes[j] = (uint8_t)(next_out + j);
		next_out += (uint8_t)stream_write(&bench.stream, bytes, length);
		if (rand_r(&seed) % 4 == 0)
			loop_once(&bench.loop, 0);
		n = rand_r(&seed) % 64 ? 0 : read(reader, bytes, sizeof(bytes));
		for (ssize_t j = 0; j < n; j++)
			assert_int_equal(bytes[j], next_in++);
	}
	assert_true(bench.writable > 0); /* there were stalls */
	close(reader);
}

/* The writing thread meets the error; the loop's thread reports it. */
static void
error_of_a_direct_write(void **state)
{
	int reader = pipe_at(1);

	bench_open("stdio", "");
	settle();
	close(reader);
	put("lost");
	assert_false(bench.stream.failed);
	settle();
	assert_true(bench.stream.failed);
	assert_int_equal(bench.stream.dropped, 4);
	assert_logged("cannot write to stdio: Broken pipe");
	put("more");
	assert_int_equal(bench.stream.dropped, 8);
}

/* A guest that writes as fast as the loop delivers does not keep the loop from its other work. */
static void
output_without_end(void **state)
{
	bench_open("file:/dev/null", "");
	settle();
	bench.stream.written = clock_host() + 1000000000; /* a burst: the loop delivers */
	put("1");
	added = 0;
	to_add = 10000;
	assert_int_equal(loop_once(&bench.loop, 0), 0);
	assert_in_range(added, 1, 2);
	to_add = 0;
	until(!bench.stream.output_length);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(output_needs_no_loop),        TEST(file_needs_no_loop),
		TEST(a_burst_is_left_to_the_loop), TEST(output_stays_in_order),
		TEST(error_of_a_direct_write),     TEST(output_without_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
