/* SPDX-License-Identifier: BSD-2-Clause */
/* Connects a program to a running stream by a socket that the program passes. */
#include "unit/stream_bench.h"

#include <sys/socket.h>
#include <sys/un.h>

static char told[64]; /* '+' and '-' for each call of connected */

static bool
connected(struct stream *stream, bool is)
{
	strcat(told, is ? "+" : "-");
	return true;
}

static void
open_stream(const char *output, const char *input)
{
	*told = '\0';
	assert_int_equal(bench_init(output, input), 0);
	bench.stream.connected = connected;
	assert_int_equal(stream_open(&bench.stream, false), 0);
	stream_start(&bench.stream);
}

/* Returns the program's end; the stream has the other one. */
static int
join(void)
{
	struct why why = { 0 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	if (stream_connect(&bench.stream, ends[0], &why))
		fail_msg("refused: %s", why.text);
	return ends[1];
}

static void
refused(const char *reason)
{
	struct why why = { 0 };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(stream_connect(&bench.stream, ends[0], &why), -1);
	assert_string_equal(why.text, reason);
	close(ends[0]); /* it stayed ours */
	close(ends[1]);
}

/* A stream without a host end gets one, and then the next. Output between them is kept. */
static void
one_program_at_a_time(void **state)
{
	int first, second;

	open_stream("none", NULL);
	assert_string_equal(told, "-");
	put("dropped");
	first = join();
	until(strlen(told) == 2);
	converse(first);
	refused("another program is connected to it; end that first");
	close(first);
	until(!bench.stream.out.connected && strlen(told) == 3);
	put("kept");
	second = join();
	until(!bench.stream.output_length && strlen(told) == 4);
	assert_reads(second, "kept");
	converse(second);
	assert_string_equal(told, "-+-+");
	close(second);
}

/* The program sends no more and reads on. At its end it is replaced, though nothing is written. */
static void
half_closed(void **state)
{
	int fd, next;

	open_stream("none", NULL);
	fd = join();
	assert_int_equal(write(fd, "last", 4), 4);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	until(stream_readable(&bench.stream) == 4);
	assert_takes("last");
	until(bench.stream.out.ended);
	settle();
	assert_true(bench.stream.out.connected);
	put("still read");
	until(!bench.stream.output_length);
	assert_reads(fd, "still read");
	close(fd);
	until(!bench.stream.out.connected);
	next = join();
	converse(next);
	close(next);
}

/* In place of a client of a socket, and the other way round. */
static void
beside_a_listener(void **state)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	open_stream(bench_spec("unix-listen", "sock"), NULL);
	fd = join();
	converse(fd);
	strcpy(address.sun_path, bench_path("sock"));
	assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
	settle();
	close(fd);
	until(!bench.stream.out.connected);
	until(bench.stream.out.connected);
	converse(client);
	refused("another program is connected to it; end that first");
	close(client);
}

/* An input that the config names stays. */
static void
only_the_output(void **state)
{
	int fd;

	open_stream("none", "text:typed");
	fd = join();
	assert_int_equal(write(fd, "ignored", 7), 7);
	put("shown");
	until(!bench.stream.output_length);
	assert_reads(fd, "shown");
	assert_takes("typed");
	close(fd);
	until(!bench.stream.out.connected);
	assert_takes("");
}

static void
other_ends(void **state)
{
	char reason[512];

	open_stream(bench_spec("file", "out"), NULL);
	snprintf(reason, sizeof(reason),
		 "its output is %s; use output = none, or a socket that listens, to connect",
		 bench_spec("file", "out"));
	refused(reason);
	bench_close();
	open_stream("pty", NULL);
	refused("its output is pty; use output = none, or a socket that listens, to connect");
}

/* A program that does not read stalls the device; what it then reads is complete. */
static void
backpressure(void **state)
{
	enum { ALL = 1 << 20 };
	char *bytes = pattern(ALL), *got = malloc(ALL);
	size_t sent = 0, received = 0;
	int fd, stalled = 0;
	ssize_t n;

	assert_non_null(got);
	open_stream("none", NULL);
	fd = join();
	while (stalled < 100) {
		size_t taken = stream_write(&bench.stream, bytes + sent, ALL - sent);

		sent += taken;
		stalled = taken ? 0 : stalled + 1;
		assert_int_equal(loop_once(&bench.loop, 0), 0);
	}
	assert_in_range(sent, STREAM_OUTPUT_SIZE, ALL - 1);
	while (received < ALL) {
		n = recv(fd, got + received, ALL - received, MSG_DONTWAIT);
		if (n > 0)
			received += (size_t)n;
		sent += stream_write(&bench.stream, bytes + sent, ALL - sent);
		assert_int_equal(loop_once(&bench.loop, 0), 0);
	}
	assert_memory_equal(got, bytes, ALL);
	close(fd);
	free(got);
	free(bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_program_at_a_time), TEST(half_closed), TEST(beside_a_listener),
		TEST(only_the_output),       TEST(other_ends),  TEST(backpressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
