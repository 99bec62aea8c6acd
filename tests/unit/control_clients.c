/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients of the control socket that misbehave, and more of them than it admits. */
#include "unit/control_bench.h"

#include <sys/epoll.h>
#include <sys/resource.h>

static void
lines_too_long(void **state)
{
	struct bench *bench = *state;
	char line[CONTROL_LINE + 2];
	int fd = client(bench);

	memset(line, 'x', sizeof(line));
	memcpy(line, "keep ", 5);
	line[CONTROL_LINE] = '\n';
	line[CONTROL_LINE + 1] = '\0';
	put(fd, line); /* has the maximum length */
	settle(bench);
	assert_int_equal(bench->kept_count, 1);
	command_done(bench->kept[0]);
	assert_string_equal(get(bench, fd), OK);
	line[CONTROL_LINE] = 'x';
	asks(bench, fd, line, ERROR("the request is longer than 16384 bytes"));
	hung_up(bench, fd);
	fd = client(bench);
	assert_int_equal(send(fd, "echo a\0b\necho\n", 14, 0), 14);
	assert_string_equal(get(bench, fd), ERROR("the request contains a NUL byte"));
	hung_up(bench, fd);
	assert_int_equal(bench->runs, 0);
}

struct tick {
	struct loop_source source;
	uint64_t calls;
};

static void
ticked(struct loop_source *source, uint32_t events)
{
	((struct tick *)source->context)->calls++; /* stays ready */
}

/* Clients that send junk as fast as possible, with and without newlines: other work still runs. */
static void
megabytes_of_junk(void **state)
{
	struct tick tick = { .source = { .ready = ticked, .context = &tick } };
	struct bench *bench = *state;
	int ends[2], fds[8], turns = 20000;
	char junk[65536];
	size_t sent = 0;

	for (size_t i = 0; i < sizeof(junk); i++)
		junk[i] = i % 7 ? 'j' : '\n';
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(write(ends[1], "x", 1), 1);
	assert_int_equal(loop_add(&bench->loop, &tick.source, ends[0], EPOLLIN), 0);
	for (int i = 0; i < 8; i++)
		fds[i] = client(bench);
	for (int i = 0; i < turns; i++) {
		int fd = fds[i % 8];
		ssize_t n = send(fd, junk, sizeof(junk), MSG_NOSIGNAL);

		sent += n > 0 ? (size_t)n : 0;
		/* Half of them never read. */
		while (i % 2 && recv(fd, (char[4096]){ 0 }, 4096, 0) > 0)
			;
		assert_int_equal(loop_once(&bench->loop, 0), 0);
	}
	assert_true(tick.calls > (uint64_t)turns / 20);
	assert_true(sent > 1 << 20);
	assert_int_equal(bench->control.count, 8);
	loop_remove(&bench->loop, &tick.source);
	for (int i = 0; i < 8; i++)
		close(fds[i]);
	close(ends[0]);
	close(ends[1]);
}

/* A client that sends a line without an end. */
static void
endless_line(void **state)
{
	struct bench *bench = *state;
	char junk[65536];
	int fd = client(bench);
	ssize_t n;

	memset(junk, 'j', sizeof(junk));
	for (int i = 0; i < 100; i++) {
		n = send(fd, junk, sizeof(junk), MSG_NOSIGNAL);
		assert_int_equal(loop_once(&bench->loop, 0), 0);
	}
	assert_int_equal(n, -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(bench->control.count, 0);
	assert_string_equal(get(bench, fd), ERROR("the request is longer than 16384 bytes"));
	close(fd);
}

static void
a_thousand_connections(void **state)
{
	struct bench *bench = *state;
	int first = client(bench), second, fds[1000];

	put(first, "keep\n");
	settle(bench);
	second = client(bench);
	for (int i = 0; i < 1000; i++) {
		fds[i] = try_connect(bench->path);
		assert_true(fds[i] >= 0);
		assert_int_equal(loop_once(&bench->loop, 0), 0);
		/* A client that sends requests is kept, and so is one with a pending request. */
		if (i % 30 == 0)
			asks(bench, second, "echo\n", OK);
		assert_true(bench->control.count <= CONTROL_CLIENTS);
	}
	settle(bench);
	assert_int_equal(bench->control.count, CONTROL_CLIENTS);
	assert_string_equal(get(bench, fds[0]),
			    ERROR("closed for a newer client: 64 were connected, and this one was "
				  "idle longest"));
	assert_string_equal(get(bench, fds[0]), "");
	asks(bench, fds[999], "echo\n", OK);
	asks(bench, second, "echo\n", OK);
	command_done(bench->kept[0]);
	assert_string_equal(get(bench, first), OK);
	for (int i = 0; i < 1000; i++)
		close(fds[i]);
	close(first);
	close(second);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(loop_once(&bench->loop, 0), 0);
	assert_int_equal(bench->control.count, 0);
}

/* All clients wait for a reply: the next client receives an error. */
static void
refuses_a_client_if_all_wait(void **state)
{
	struct bench *bench = *state;
	int fds[CONTROL_CLIENTS], fd;

	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		fds[i] = client(bench);
		put(fds[i], "keep\n");
		settle(bench);
	}
	fd = client(bench);
	assert_string_equal(get(bench, fd), ERROR("64 clients are connected, each with a request "
						  "in progress; try again when one is done"));
	hung_up(bench, fd);
	assert_int_equal(bench->control.count, CONTROL_CLIENTS);
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		command_done(bench->kept[i]);
		assert_string_equal(get(bench, fds[i]), OK);
		close(fds[i]);
	}
}

/* Without descriptors, one client gets the spare one. For the next, accept fails: no events until
 * the retry, which succeeds. */
static void
no_descriptors(void **state)
{
	struct bench *bench = *state;
	struct rlimit limit, low;
	struct epoll_event event;
	int first = client(bench), second = client(bench);

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = (rlim_t)second + 1;
	for (int i = 0; i < second; i++) /* the limit applies to the lowest free descriptor */
		if (fcntl(i, F_GETFD) < 0)
			low.rlim_cur = (rlim_t)i;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	asks(bench, first, "echo\n", OK);
	assert_int_equal(bench->control.count, 1);
	assert_int_equal(loop_once(&bench->loop, 0), 0);
	assert_int_equal(bench->control.count, 1);
	assert_int_equal(epoll_wait(bench->loop.epoll, &event, 1, 20), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	asks(bench, second, "echo\n", OK);
	close(first);
	settle(bench);
	assert_true(bench->control.spare.fd >= 0);
	close(second);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(lines_too_long),
		TEST(megabytes_of_junk),
		TEST(endless_line),
		TEST(a_thousand_connections),
		TEST(refuses_a_client_if_all_wait),
		TEST(no_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
