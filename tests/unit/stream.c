/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams: parsing of options, content, files, pipes, back-pressure, errors, saving. */
#include "unit/stream_bench.h"

#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>

static size_t added, to_add; /* bytes that the guest writes during a write(2) to the host */

/* Replaces libc's. */
ssize_t
write(int fd, const void *bytes, size_t length)
{
	if (added < to_add && fd == bench.stream.out.fd)
		added += stream_write(&bench.stream, "g", 1);
	return syscall(SYS_write, fd, bytes, length);
}

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
write_file(const char *path, const char *bytes, size_t length)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, length, f), length);
	assert_int_equal(fclose(f), 0);
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
	write_file(bench_path("out"), "old and long", 12);
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

static char *
pattern(size_t length)
{
	char *bytes = malloc(length);

	assert_non_null(bytes);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	return bytes;
}

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

	write_file(bench_path("in"), bytes, length);
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
	write_file(bench_path("in"), bytes, length);
	assert_int_equal(bench_init("", bench_spec("file", "in")), 0);
	bench.stream.readable = read_all;
	taken = 0;
	assert_int_equal(stream_open(&bench.stream, false), 0);
	stream_start(&bench.stream);
	until(bench.stream.in.ended);
	assert_int_equal(taken, length);
	free(bytes);
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
		TEST(input_file_continues_after_a_restore),
		TEST(rest_of_content_survives),
		TEST(typed_input_survives),
		TEST(wrapped_input_survives),
		TEST(hostile_records),
		TEST(inherited_descriptors_keep_their_flags),
		TEST(a_mebibyte_through_a_stalling_pipe),
		TEST(writable_is_called_after_a_stall),
		TEST(a_dead_reader_does_not_block_the_guest),
		TEST(a_dead_reader_without_output),
		TEST(a_full_disk),
		TEST(dev_null),
		TEST(a_pipe_as_input),
		TEST(one_call_of_readable_for_each_short_read),
		TEST(pause_without_snapshot),
		TEST(waiting_for_input),
		TEST(input_waited_for_comes_first),
		TEST(closing_waits_for_a_slow_reader),
		TEST(closing_can_be_interrupted),
		TEST(output_needs_no_loop),
		TEST(file_needs_no_loop),
		TEST(a_burst_is_left_to_the_loop),
		TEST(output_stays_in_order),
		TEST(error_of_a_direct_write),
		TEST(output_without_end),
		TEST(input_without_end),
		TEST(no_byte_asks_for_a_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
