/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams: parsing of options, content, kinds without a peer, errors of files. */
#include "unit/stream_bench.h"

static void
invalid_specs(void **state)
{
	static const char long_path[] =
	    "unix:/0123456789012345678901234567890123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789";
	static const struct {
		const char *output, *input, *message;
	} cases[] = {
		{ "fil:x", "", "x.ini:7: device serial0: output = fil:x is not a stream" },
		{ "stdoi", "", "is not a stream; did you mean stdio?" },
		{ "", "textt:x", "is not a stream; did you mean text?" },
		{ "zzzzzzzzzzzzzz", "", "use none, stdio, file:PATH" },
		{ "file", "", "append :PATH" },
		{ "file:", "", "names no file" },
		{ "stdio:x", "", "use stdio" },
		{ "none:", "", "use none" },
		{ "hex:00", "", "is for input only" },
		{ "text:a", "", "is for input only" },
		{ "", "stderr", "is for output only" },
		{ "", "hex:123", "input = hex:123 " },
		{ "", "hex:0g", "input = hex:0g " },
		{ "", "text:a\\z", "has an escape other than" },
		{ "", "text:\\x1", "has an escape other than" },
		{ "", "text:\\", "has an escape other than" },
		{ "unix:", "", "names no socket" },
		{ long_path, "", "has a name of more than 85 bytes" },
		{ "tcp:localhost", "", "has no port" },
		{ "tcp:localhost:http", "", "no port from 0 to 65535" },
		{ "tcp:localhost:65536", "", "no port from 0 to 65535" },
		{ "tcp-listen::1", "", "names no host" },
		{ "tcp:[]:1", "", "names no host" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(ftruncate(bench.log, 0), 0);
		assert_int_equal(lseek(bench.log, 0, SEEK_SET), 0);
		assert_int_equal(bench_init(cases[i].output, cases[i].input), -STATUS_USAGE);
		assert_logged(cases[i].message);
		stream_free(&bench.stream);
	}
}

static void
both_errors_are_reported(void **state)
{
	assert_int_equal(bench_init("fil:x", "hex:1"), -STATUS_USAGE);
	assert_logged("output = fil:x");
	assert_logged("input = hex:1");
}

static void
kinds_that_need_trust(void **state)
{
	assert_true(stream_names_host("file:x"));
	assert_true(stream_names_host("unix:x"));
	assert_true(stream_names_host("unix-listen:x"));
	assert_true(stream_names_host("tcp:h:1"));
	assert_true(stream_names_host("tcp-listen:h:1"));
	assert_false(stream_names_host("stdio"));
	assert_false(stream_names_host("pty"));
	assert_false(stream_names_host("hex:00"));
	assert_false(stream_names_host("text:file:"));
	assert_false(stream_names_host("none"));
	assert_false(stream_names_host(""));
	assert_false(stream_names_host("nonsense:x"));
}

static void
one_owner_of_stdio(void **state)
{
	struct stream other;

	assert_int_equal(bench_init("stdio", "stdio"), 0);
	assert_int_equal(stream_init(&other, &bench.hub, "serial1",
				     &(struct stream_option){ "output", "stdio", in_config },
				     &(struct stream_option){ "input", "none", in_config }),
			 -STATUS_USAGE);
	assert_logged("x.ini:7: device serial1: output = stdio: serial0 uses stdout already");
	stream_free(&other);
	assert_int_equal(stream_init(&other, &bench.hub, "serial1",
				     &(struct stream_option){ "output", "none", in_config },
				     &(struct stream_option){ "input", "stdio", in_config }),
			 -STATUS_USAGE);
	assert_logged("x.ini:7: device serial1: input = stdio: serial0 uses stdin already");
	stream_free(&other);
	assert_string_equal(bench.hub.stdout_owner, "serial0");
	stream_free(&bench.stream);
	assert_null(bench.hub.stdout_owner);
	assert_null(bench.hub.stdin_owner);
}

static void
content_from_the_config(void **state)
{
	bench_open("none", "text:a\\n\\r\\t\\\\\\x00\\xfF;b");
	until(bench.readable == 1);
	assert_int_equal(stream_readable(&bench.stream), 9);
	assert_int_equal(bench.readable, 1);
	{
		char bytes[16];

		assert_int_equal(stream_read(&bench.stream, bytes, 2), 2);
		assert_memory_equal(bytes, "a\n", 2);
		assert_int_equal(stream_read(&bench.stream, bytes, sizeof(bytes)), 7);
		assert_memory_equal(bytes, "\r\t\\\0\xff;b", 7);
	}
	settle();
	assert_int_equal(bench.readable, 1);
	assert_int_equal(stream_readable(&bench.stream), 0);
	bench_close();
	bench_open("", "hex:03 fF00");
	{
		char bytes[16];

		assert_int_equal(stream_read(&bench.stream, bytes, sizeof(bytes)), 3);
		assert_memory_equal(bytes, "\x03\xff\0", 3);
	}
	bench_close();
	bench_open("", "text:");
	assert_takes("");
}

/* The output of "none" still reaches the record, where a stop condition can find a text. */
static void
none_takes_everything(void **state)
{
	bench_open("none", "none");
	for (int i = 0; i < 5000; i++)
		put("1234567890");
	assert_int_equal(bench.record.length, 50000);
	assert_takes("");
	assert_int_equal(stream_writable(&bench.stream), STREAM_OUTPUT_SIZE);
	assert_int_equal(bench.stream.dropped, 0);
}

/* stderr is shared with the log and has no single owner. */
static void
stderr_takes_output(void **state)
{
	bench_open("stderr", "");
	put("logged by a device");
	settle();
	assert_logged("logged by a device");
	assert_int_equal(fcntl(2, F_GETFL) & O_NONBLOCK, 0);
	assert_null(bench.hub.stdout_owner);
}

static void
assert_file(const char *path, const char *text)
{
	int fd = open(path, O_RDONLY);
	char bytes[256];

	assert_true(fd >= 0);
	assert_int_equal(read(fd, bytes, sizeof(bytes)), strlen(text));
	assert_memory_equal(bytes, text, strlen(text));
	close(fd);
}

static void
output_file_begins_empty_and_is_continued_after_a_restore(void **state)
{
	host_write_file(bench_path("out"), "old and long", 12);
	bench_open(bench_spec("file", "out"), "");
	put("fresh");
	bench_close();
	assert_file(bench_path("out"), "fresh");
	assert_int_equal(bench_init(bench_spec("file", "out"), ""), 0);
	assert_int_equal(stream_open(&bench.stream, true), 0);
	put(" and restored");
	settle();
	assert_file(bench_path("out"), "fresh and restored");
}

static void
files_that_cannot_be_opened(void **state)
{
	static const struct {
		const char *output, *input, *message;
	} cases[] = {
		{ "", "file:/nonexistent/x",
		  "input = file:/nonexistent/x: cannot open it: No such" },
		{ "file:/nonexistent/x", "", "cannot open it for writing: No such" },
		{ "file:/", "", "Is a directory" },
		{ "", "file:/", "cannot read it: Is a directory" },
		{ "unix:/nonexistent/x", "", "cannot connect: No such" },
		{ "unix-listen:/nonexistent/x", "",
		  "cannot listen: cannot open its directory: No such" },
		{ "tcp:127.0.0.1:1", "", "cannot connect: Connection refused" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(bench_init(cases[i].output, cases[i].input), 0);
		assert_int_equal(stream_open(&bench.stream, false), -STATUS_IO);
		assert_logged(cases[i].message);
		bench_close();
	}
	assert_int_equal(mkfifo(bench_path("fifo"), 0600), 0);
	assert_int_equal(bench_init(bench_spec("file", "fifo"), ""), 0);
	assert_int_equal(stream_open(&bench.stream, false), -STATUS_IO);
	assert_logged("this pipe has no reader");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(invalid_specs),
		TEST(both_errors_are_reported),
		TEST(kinds_that_need_trust),
		TEST(one_owner_of_stdio),
		TEST(content_from_the_config),
		TEST(none_takes_everything),
		TEST(stderr_takes_output),
		TEST(output_file_begins_empty_and_is_continued_after_a_restore),
		TEST(files_that_cannot_be_opened),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
