/* SPDX-License-Identifier: BSD-2-Clause */
/* Input of streams: when the device is called, and waiting for the first byte. */
#include "unit/stream_bench.h"

/* More bytes than the buffer holds arrive in order; the pipe is read only while there is room. */
static void
a_pipe_as_input(void **state)
{
	size_t length = 200000, at = 0;
	char *bytes = pattern(length), got[700];
	int writer = pipe_at(0);

	bench_open("", "stdio");
	settle();
	assert_int_equal(bench.readable, 0);
	fcntl(writer, F_SETPIPE_SZ, 1 << 20);
	assert_int_equal(write(writer, bytes, length), length);
	until(bench.readable == 1);
	until(stream_readable(&bench.stream) == STREAM_INPUT_SIZE);
	settle();
	assert_int_equal(stream_readable(&bench.stream), STREAM_INPUT_SIZE);
	while (at < length) {
		size_t n = stream_read(&bench.stream, got, sizeof(got));

		assert_memory_equal(got, bytes + at, n);
		at += n;
		if (n < sizeof(got))
			settle();
	}
	close(writer);
	free(bytes);
}

static void
one_call_of_readable_for_each_short_read(void **state)
{
	int writer = pipe_at(0);

	bench_open("", "stdio");
	assert_int_equal(write(writer, "a", 1), 1);
	until(bench.readable == 1);
	assert_int_equal(write(writer, "b", 1), 1);
	until(stream_readable(&bench.stream) == 2);
	settle();
	assert_int_equal(bench.readable, 1); /* the device has not read yet */
	assert_takes("ab");
	assert_int_equal(write(writer, "c", 1), 1);
	until(bench.readable == 2);
	close(writer);
}

/* A device that finds no byte waits for input, too. */
static void
no_byte_asks_for_a_call(void **state)
{
	int writer = pipe_at(0);
	char byte;

	bench_open("", "stdio");
	assert_int_equal(write(writer, "a", 1), 1);
	until(bench.readable == 1);
	assert_int_equal(stream_read(&bench.stream, &byte, 1), 1);
	assert_int_equal(stream_readable(&bench.stream), 0);
	assert_int_equal(write(writer, "b", 1), 1);
	until(bench.readable == 2);
	close(writer);
}

static size_t taken;

/* Reads until there is no more, as the manual says; gives up at last. */
static bool
read_all(struct stream *stream)
{
	char byte;

	bench.readable++;
	while (taken < 100 * STREAM_INPUT_SIZE && stream_read(stream, &byte, 1))
		taken++;
	return true;
}

static void
input_without_end(void **state)
{
	size_t length = 5 * STREAM_INPUT_SIZE + 7;
	char *bytes = pattern(length);

	assert_int_equal(bench_init("", "file:/dev/zero"), 0);
	bench.stream.readable = read_all;
	taken = 0;
	assert_int_equal(stream_open(&bench.stream, false), 0);
	stream_start(&bench.stream);
	until(bench.readable == 1);
	assert_in_range(taken, 1, 2 * STREAM_INPUT_SIZE);
	until(bench.readable == 3);
	assert_in_range(taken, 2 * STREAM_INPUT_SIZE, 6 * STREAM_INPUT_SIZE);
	bench.stream.readable = bench_readable;
	bench_close();
	/* A file that has an end is read completely. */
	host_write_file(bench_path("in"), bytes, length);
	assert_int_equal(bench_init("", bench_spec("file", "in")), 0);
	bench.stream.readable = read_all;
	taken = 0;
	assert_int_equal(stream_open(&bench.stream, false), 0);
	stream_start(&bench.stream);
	until(bench.stream.in.ended);
	assert_int_equal(taken, length);
	free(bytes);
}

static void
waiting_for_input(void **state)
{
	int writer = pipe_at(0);

	bench_open("", "stdio");
	assert_false(stream_awaits_input(&bench.stream));
	bench.stream.wait_input = true;
	settle();
	assert_true(stream_awaits_input(&bench.stream));
	assert_int_equal(write(writer, "x", 1), 1);
	until(!stream_awaits_input(&bench.stream));
	assert_takes("x");
	settle();
	assert_false(stream_awaits_input(&bench.stream)); /* input has arrived before */
	bench_close();
	bench_open("", "stdio");
	bench.stream.wait_input = true;
	settle();
	assert_true(stream_awaits_input(&bench.stream));
	close(writer);
	until(!stream_awaits_input(&bench.stream)); /* the end of input counts */
	bench_close();
	bench_open("none", "none");
	bench.stream.wait_input = true;
	assert_false(stream_awaits_input(&bench.stream));
}

/* With wait_input the device gets the input before the machine runs. */
static void
input_waited_for_comes_first(void **state)
{
	bench_open("none", "text:8K");
	loop_quiet(&bench.loop, true);
	stream_start(&bench.stream);
	assert_int_equal(bench.readable, 0);
	bench.stream.wait_input = true;
	stream_start(&bench.stream);
	assert_int_equal(bench.readable, 1);
	assert_takes("8K");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_pipe_as_input),         TEST(one_call_of_readable_for_each_short_read),
		TEST(no_byte_asks_for_a_call), TEST(input_without_end),
		TEST(waiting_for_input),       TEST(input_waited_for_comes_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
