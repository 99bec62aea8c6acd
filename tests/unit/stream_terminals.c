/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams on terminals: ptys whose clients come and go, and the terminal at stdin and stdout. */
#include "unit/stream_bench.h"

#include <errno.h>
#include <pthread.h>

static int
open_pty(void)
{
	int fd = open(logged_after("is the terminal "), O_RDWR | O_NOCTTY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void
pty_client_comes_and_goes(void **state)
{
	int fd;

	bench_open("pty", NULL);
	for (int i = 0; i < 3; i++) {
		fd = open_pty();
		until(bench.stream.out.connected);
		converse(fd);
		close(fd);
		until(!bench.stream.out.connected);
		assert_true(bench.stream.no_reader);
	}
	assert_int_equal(bench.stream.dropped, 0);
	assert_false(bench.stream.failed);
}

/* Without a client, the newest output is kept, and the guest never waits. */
static void
the_newest_output_waits_for_a_client(void **state)
{
	char expected[STREAM_OUTPUT_SIZE + 1], line[32];
	int fd;

	bench_open("pty", NULL);
	settle();
	for (int i = 0; i < 1000; i++) {
		snprintf(line, sizeof(line), "line %09d\r\n", i);
		put(line);
		if (i >= 1000 - (int)STREAM_OUTPUT_SIZE / 16)
			memcpy(expected + (i - (1000 - STREAM_OUTPUT_SIZE / 16)) * 16, line, 16);
	}
	expected[STREAM_OUTPUT_SIZE] = '\0';
	assert_int_equal(bench.stream.dropped, 16000 - STREAM_OUTPUT_SIZE);
	fd = open_pty();
	until(!bench.stream.output_length);
	assert_reads(fd, expected);
	close(fd);
	/* Lines that do not fit evenly: the client gets whole ones. */
	until(!bench.stream.out.connected);
	for (int i = 0; i < 500; i++) {
		snprintf(line, sizeof(line), "row %05d\n", i);
		put(line);
		if (i >= 500 - (int)STREAM_OUTPUT_SIZE / 10)
			memcpy(expected + (i - (500 - (int)STREAM_OUTPUT_SIZE / 10)) * 10, line,
			       10);
	}
	expected[STREAM_OUTPUT_SIZE / 10 * 10] = '\0';
	fd = open_pty();
	until(!bench.stream.output_length);
	assert_reads(fd, expected);
	close(fd);
	memset(expected, 'x', STREAM_OUTPUT_SIZE); /* one without an end is kept as it is */
	expected[STREAM_OUTPUT_SIZE] = '\0';
	until(!bench.stream.out.connected);
	put(expected);
	put("xxxx");
	fd = open_pty();
	until(!bench.stream.output_length);
	assert_reads(fd, expected);
	close(fd);
	/* One write larger than the buffer. */
	until(!bench.stream.out.connected);
	bench.stream.dropped = 0;
	put(expected);
	assert_int_equal(stream_write(&bench.stream, expected, STREAM_OUTPUT_SIZE), 4096);
	assert_int_equal(bench.stream.dropped, STREAM_OUTPUT_SIZE);
}

static void *
read_pty_late(void *context)
{
	int fd = *(int *)context;
	static char got[65536];
	size_t length = 0;
	ssize_t n;

	usleep(50000);
	while ((n = read(fd, got + length, 100)) > 0)
		length += (size_t)n;
	return (void *)length;
}

/* Closing a pty discards unread output: stream_close() waits for the reader. */
static void
closing_a_pty_waits_for_its_reader(void **state)
{
	pthread_t thread;
	void *length;
	int fd;

	bench_open("pty", NULL);
	fd = open_pty();
	until(bench.stream.out.connected);
	for (int i = 0; i < 200; i++)
		put("0123456789abcdef");
	assert_int_equal(pthread_create(&thread, NULL, read_pty_late, &fd), 0);
	bench_close();
	pthread_join(thread, &length);
	assert_int_equal((size_t)length, 3200);
	close(fd);
	assert_null(strstr(bench_log(), "were dropped"));
}

static void
closing_a_pty_without_a_reader(void **state)
{
	int fd;

	bench_open("pty", NULL);
	put("12345");
	fd = open_pty();
	until(bench.stream.out.connected);
	settle();
	close(fd); /* with five bytes unread */
	until(!bench.stream.out.connected);
	put("678");
	bench_close();
	assert_logged("3 bytes of output were dropped");
}

/* Replaces stdin and stdout by the slave of a new pty; returns the master. */
static int
terminal_at_stdio(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	char path[64];

	assert_true(master >= 0);
	assert_int_equal(grantpt(master) || unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, path, sizeof(path)), 0);
	slave = open(path, O_RDWR | O_NOCTTY);
	assert_int_equal(dup2(slave, 0), 0);
	assert_int_equal(dup2(slave, 1), 1);
	close(slave);
	return master;
}

static void
assert_same_mode(const struct termios *a, const struct termios *b)
{
	assert_int_equal(a->c_iflag, b->c_iflag);
	assert_int_equal(a->c_oflag, b->c_oflag);
	assert_int_equal(a->c_cflag, b->c_cflag);
	assert_int_equal(a->c_lflag, b->c_lflag);
	assert_memory_equal(a->c_cc, b->c_cc, sizeof(a->c_cc));
}

static void
the_terminal_is_raw_and_restored(void **state)
{
	int master = terminal_at_stdio();
	struct termios before, raw, after;

	tcgetattr(0, &before);
	assert_true(before.c_lflag & ISIG);
	bench_open("stdio", "stdio");
	tcgetattr(0, &raw);
	assert_int_equal(raw.c_lflag & (ICANON | ECHO | ISIG), 0);
	assert_int_equal(raw.c_oflag, before.c_oflag);
	assert_int_equal(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(fcntl(1, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(write(master, "a\r\x03\x04", 4), 4);
	until(stream_readable(&bench.stream) == 4);
	assert_takes("a\r\x03\x04");
	put("seen");
	until(!bench.stream.output_length);
	assert_reads(master, "seen");
	bench_close();
	tcgetattr(0, &after);
	assert_same_mode(&after, &before);
	close(master);
}

/* Without input, the terminal's mode does not change. */
static void
a_terminal_for_output_keeps_its_mode(void **state)
{
	int master = terminal_at_stdio();
	struct termios before, during;

	tcgetattr(0, &before);
	bench_open("stdio", "none");
	tcgetattr(0, &during);
	assert_same_mode(&during, &before);
	close(master);
}

static void
a_stalled_terminal_does_not_block_the_loop(void **state)
{
	int master = terminal_at_stdio();
	size_t total = 0;

	bench_open("stdio", "stdio");
	for (int i = 0; i < 20000; i++) {
		total += stream_write(&bench.stream, "0123456789abcdef", 16);
		assert_int_equal(loop_once(&bench.loop, 0), 0);
	}
	assert_true(total < 320000);
	assert_int_equal(stream_writable(&bench.stream), 0);
	close(master);
}

static void
escapes(void **state)
{
	int master = terminal_at_stdio();

	bench_open("stdio", "stdio");
	assert_int_equal(write(master,
			       "a\x01\x01"
			       "b\x01",
			       5),
			 5);
	until(stream_readable(&bench.stream) == 3);
	assert_takes("a\x01"
		     "b");
	assert_int_equal(bench.quits, 0);
	assert_int_equal(write(master, "x", 1), 1); /* Ctrl-A precedes it */
	until(bench.quits == 1);
	assert_int_equal(write(master, "\x01h\x01qx", 5), 5);
	until(stream_readable(&bench.stream) == 1);
	assert_takes("x"); /* an unknown escape sequence is dropped as a whole */
	assert_int_equal(bench.quits, 1);
	assert_logged("Ctrl-A x");
	assert_logged("sends Ctrl-A to the guest");
	close(master);
}

/* Ctrl-A x works while the machine is paused, and while the guest does not read. */
static void
quitting_always_works(void **state)
{
	int master = terminal_at_stdio();
	char bytes[500];

	memset(bytes, 'b', sizeof(bytes));
	bench_open("stdio", "stdio");
	settle();
	loop_quiet(&bench.loop, true);
	assert_int_equal(write(master, "a\x01x", 3), 3);
	until(bench.quits == 1);
	settle();
	assert_int_equal(bench.readable, 0);
	loop_quiet(&bench.loop, false);
	until(bench.readable == 1);
	fcntl(master, F_SETFL, O_NONBLOCK); /* a blocked write would keep the loop from reading */
	for (size_t left = 200 * sizeof(bytes); left;) {
		ssize_t n = write(master, bytes, left < sizeof(bytes) ? left : sizeof(bytes));

		assert_true(n > 0 || errno == EAGAIN);
		left -= n > 0 ? (size_t)n : 0;
		settle();
	}
	while (write(master, "\x01x", 2) != 2)
		settle();
	until(bench.quits == 2);
	close(master);
}

static void
a_signal_handler_restores_the_terminal(void **state)
{
	int master = terminal_at_stdio();
	struct termios before, after;

	tcgetattr(0, &before);
	bench_open("stdio", "stdio");
	stream_terminal_restore(&bench.hub);
	tcgetattr(0, &after);
	assert_same_mode(&after, &before);
	stream_terminal_restore(&bench.hub);
	close(master);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pty_client_comes_and_goes),
		TEST(the_newest_output_waits_for_a_client),
		TEST(closing_a_pty_waits_for_its_reader),
		TEST(closing_a_pty_without_a_reader),
		TEST(the_terminal_is_raw_and_restored),
		TEST(a_terminal_for_output_keeps_its_mode),
		TEST(a_stalled_terminal_does_not_block_the_loop),
		TEST(escapes),
		TEST(quitting_always_works),
		TEST(a_signal_handler_restores_the_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
