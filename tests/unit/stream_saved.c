/* SPDX-License-Identifier: BSD-2-Clause */
/* A stream's state in a snapshot: input that the device has not read. */
#include "unit/stream_bench.h"

static void
save(struct record_writer *writer, struct record *group)
{
	stream_save(&bench.stream, writer);
	assert_false(writer->failed);
	assert_int_equal(record_open(writer->data, writer->length, group, NULL), 0);
}

/* Saves and closes the stream, then restores it with this input. */
static void
restore(const char *output, const char *input)
{
	struct record_writer writer = { 0 }, again = { 0 };
	struct record group;
	char before[sizeof(bench.input)];
	struct why why;

	strcpy(before, bench.input);
	save(&writer, &group);
	bench_close();
	assert_int_equal(bench_init(output, input), 0);
	assert_int_equal(stream_load(&bench.stream, &group, &why), 0);
	save(&again, &group);
	if (!strcmp(before, input)) {
		assert_int_equal(again.length, writer.length);
		assert_memory_equal(again.data, writer.data, again.length);
	}
	record_writer_free(&writer);
	record_writer_free(&again);
	assert_int_equal(stream_open(&bench.stream, true), 0);
	stream_start(&bench.stream);
}

/* The device gets a file's bytes without a wait, in any portions, across restores. */
static void
input_file_continues_after_a_restore(void **state)
{
	size_t length = 20000, at = 0;
	char *bytes = pattern(length), got[5000];

	host_write_file(bench_path("in"), bytes, length);
	bench_open("", bench_spec("file", "in"));
	until(bench.readable == 1);
	for (size_t portion = 1; at < length; portion = portion * 3 % 4999) {
		size_t n = stream_read(&bench.stream, got, portion);

		assert_int_equal(n, portion < length - at ? portion : length - at);
		assert_memory_equal(got, bytes + at, n);
		at += n;
		if (portion % 5 == 0)
			restore("", bench_spec("file", "in"));
	}
	assert_takes("");
	free(bytes);
}

static void
rest_of_content_survives(void **state)
{
	char got[4];

	bench_open("", "text:abcdef");
	assert_int_equal(stream_read(&bench.stream, got, 2), 2);
	restore("", "text:abcdef");
	until(bench.readable == 1);
	assert_int_equal(stream_read(&bench.stream, got, 1), 1);
	assert_int_equal(got[0], 'c');
	restore("", "text:abcdef");
	assert_takes("def");
	restore("", "text:abcdef");
	assert_takes("");
	restore("", "text:new"); /* --set device.serial0.input=text:new */
	assert_takes("new");
	restore("", "none");
	assert_takes("");
}

static void
typed_input_survives(void **state)
{
	int writer = pipe_at(0);

	bench_open("", "stdio");
	assert_int_equal(write(writer, "ahead", 5), 5);
	until(stream_readable(&bench.stream) == 5);
	restore("", "stdio");
	assert_int_equal(write(writer, " and now", 8), 8);
	until(stream_readable(&bench.stream) == 13);
	restore("", bench_spec("unix-listen", "moved"));
	assert_takes("ahead and now");
	assert_int_equal(write(writer, "x", 1), 1);
	restore("", "hex:41");
	assert_takes("A");
	close(writer);
}

/* Input that is in two parts of the ring. */
static void
wrapped_input_survives(void **state)
{
	const size_t first = STREAM_INPUT_SIZE - 10, read_before = 1000, rest = 500;
	char *bytes = pattern(first + rest), *got = malloc(first + rest);
	int writer = pipe_at(0);

	bench_open("", "stdio");
	assert_int_equal(write(writer, bytes, first), first);
	until(stream_readable(&bench.stream) == first);
	assert_int_equal(stream_read(&bench.stream, got, read_before), read_before);
	assert_int_equal(write(writer, bytes + first, rest), rest);
	until(stream_readable(&bench.stream) == first + rest - read_before);
	assert_true(bench.stream.input_head + bench.stream.input_length > STREAM_INPUT_SIZE);
	restore("", "stdio");
	assert_int_equal(stream_read(&bench.stream, got + read_before, first + rest),
			 first + rest - read_before);
	assert_memory_equal(got, bytes, first + rest);
	free(bytes);
	free(got);
	close(writer);
}

static void
hostile_records(void **state)
{
	static const uint8_t bytes[STREAM_INPUT_SIZE + 1];
	static const char *const reasons[] = { "input_from is missing",
					       "input is missing",
					       "input_position is missing",
					       "too large",
					       "at most 65536",
					       "input_new is unknown" };
	struct why why;

	assert_int_equal(bench_init("", "stdio"), 0);
	for (int i = 0; i < 6; i++) {
		struct record_writer writer = { 0 };
		struct record group;

		if (i != 0)
			record_put_text(&writer, "input_from", "");
		if (i != 1)
			record_put_bytes(&writer, "input", bytes, i == 4 ? sizeof(bytes) : 1);
		if (i != 2)
			record_put_u64(&writer, "input_position",
				       i == 3 ? (uint64_t)INT64_MAX + 1 : 0);
		if (i == 5)
			record_put_bool(&writer, "input_new", true);
		assert_int_equal(record_open(writer.data, writer.length, &group, NULL), 0);
		assert_int_equal(stream_load(&bench.stream, &group, &why), -1);
		assert_non_null(strstr(why.text, reasons[i]));
		assert_int_equal(stream_readable(&bench.stream), 0);
		record_writer_free(&writer);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(input_file_continues_after_a_restore),
		TEST(rest_of_content_survives),
		TEST(typed_input_survives),
		TEST(wrapped_input_survives),
		TEST(hostile_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
