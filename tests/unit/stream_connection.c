/* SPDX-License-Identifier: BSD-2-Clause */
/* The callback connected, which tells a device whether its stream has another end: sockets,
 * terminals, pipes, files. */
#include "unit/stream_bench.h"

#include <sys/socket.h>
#include <sys/un.h>

static char told[256]; /* '+' and '-' for each call, 'r' for each call of readable */
static bool busy;

static bool
connected(struct stream *stream, bool is)
{
	if (!busy)
		strcat(told, is ? "+" : "-");
	return !busy;
}

static void
listen_for(const char *output, const char *input)
{
	*told = '\0';
	busy = false;
	assert_int_equal(bench_init(output, input), 0);
	bench.stream.connected = connected;
	assert_int_equal(stream_open(&bench.stream, false), 0);
	stream_start(&bench.stream);
}

#define told_is(text) assert_string_equal(told, text)

static int
client(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, bench_path(name));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void
clients_of_a_socket(void **state)
{
	int fd;

	listen_for(bench_spec("unix-listen", "sock"), NULL);
	told_is("-"); /* before the vCPUs run */
	fd = client("sock");
	until(strlen(told) == 2);
	close(fd);
	until(strlen(told) == 3);
	fd = client("sock");
	until(strlen(told) == 4);
	settle();
	told_is("-+-+");
	close(fd);
}

/* The carrier does not drop before the device has read the last byte. */
static void
the_last_bytes_come_first(void **state)
{
	int fd;

	listen_for(bench_spec("unix-listen", "sock"), NULL);
	fd = client("sock");
	assert_int_equal(write(fd, "logout\n", 7), 7);
	close(fd);
	until(!bench.stream.out.connected && !strcmp(told, "-+"));
	settle();
	told_is("-+");
	assert_takes("logout\n");
	until(strlen(told) == 3);
	told_is("-+-");
}

/* The device does not read, and the next client connects: it is never taken for the first one. */
static void
a_client_after_another(void **state)
{
	int fd;

	listen_for(bench_spec("unix-listen", "sock"), NULL);
	fd = client("sock");
	assert_int_equal(write(fd, "x", 1), 1);
	until(bench.stream.input_length == 1 && strlen(told) == 2);
	close(fd);
	until(!bench.stream.out.connected);
	fd = client("sock");
	until(strlen(told) == 4);
	told_is("-+-+");
	close(fd);
}

/* A device whose lock a vCPU holds hears of it later. */
static void
a_busy_device(void **state)
{
	int fd;

	listen_for(bench_spec("unix-listen", "sock"), NULL);
	busy = true;
	fd = client("sock");
	until(bench.stream.out.connected);
	for (int i = 0; i < 20; i++)
		assert_int_equal(loop_once(&bench.loop, 0), 0);
	told_is("-");
	busy = false;
	until(strlen(told) == 2);
	told_is("-+");
	close(fd);
}

/* While the machine is paused, the device hears of no connection. */
static void
a_pause(void **state)
{
	int fd;

	listen_for(bench_spec("unix-listen", "sock"), NULL);
	loop_quiet(&bench.loop, true);
	fd = client("sock");
	settle();
	told_is("-");
	loop_quiet(&bench.loop, false);
	until(strlen(told) == 2);
	close(fd);
	until(strlen(told) == 3);
	/* A reset: the streams stay, the device starts again. */
	stream_start(&bench.stream);
	told_is("-+--");
}

static void
a_terminal(void **state)
{
	char path[128];
	int fd;

	listen_for("pty", NULL);
	told_is("-");
	snprintf(path, sizeof(path), "%s", logged_after("is the terminal "));
	fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	until(strlen(told) == 2);
	close(fd);
	until(strlen(told) == 3);
	told_is("-+-");
}

static void
the_end_of_the_input(void **state)
{
	int fd = pipe_at(0);

	listen_for(bench_spec("file", "out"), "stdio");
	told_is("+");
	assert_int_equal(write(fd, "a", 1), 1);
	until(stream_readable(&bench.stream) == 1);
	close(fd);
	settle();
	told_is("+");
	assert_takes("a");
	until(strlen(told) == 2);
	told_is("+-");
	bench_close();

	/* A file ends when the device has read it, on whatever thread. */
	fd = open(bench_path("in"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, "bc", 2), 2);
	close(fd);
	listen_for(NULL, bench_spec("file", "in"));
	settle();
	told_is("+");
	assert_takes("bc");
	until(strlen(told) == 2);
	told_is("+-");
	bench_close();

	listen_for(NULL, "text:d");
	told_is("+");
	assert_takes("d");
	until(strlen(told) == 2);
	told_is("+-");
}

/* Each end that the options name must be there. */
static void
two_ends(void **state)
{
	int fd, out = pipe_at(0);

	listen_for(bench_spec("unix-listen", "sock"), "stdio");
	told_is("-");
	fd = client("sock");
	until(strlen(told) == 2);
	close(fd);
	until(strlen(told) == 3);
	told_is("-+-");
	close(out);
	bench_close();

	listen_for(NULL, NULL);
	settle();
	told_is("-");
	bench_close();

	listen_for("stdio", NULL); /* an output alone */
	settle();
	told_is("+");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(clients_of_a_socket),
		TEST(the_last_bytes_come_first),
		TEST(a_client_after_another),
		TEST(a_busy_device),
		TEST(a_pause),
		TEST(a_terminal),
		TEST(the_end_of_the_input),
		TEST(two_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
