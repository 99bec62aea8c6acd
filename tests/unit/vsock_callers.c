/* SPDX-License-Identifier: BSD-2-Clause */
/* Callers on the host that misbehave, and more of them than a vsock device admits. */
#include "unit/vsock_bench.h"

#include <sys/resource.h>
#include <sys/syscall.h>

static unsigned callers; /* that connect during accept4(2): each call has one */
static unsigned accepts; /* calls */

/* Replaces libc's. */
int
accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	accepts++;
	if (!callers)
		return (int)syscall(SYS_accept4, fd, address, length, flags);
	callers--;
	return socket(AF_UNIX, SOCK_STREAM | flags, 0);
}

static void
invalid_requests_of_clients(void **state)
{
	static const char *const bad[] = { "GET / HTTP/1.0\n",
					   "CONNECT \n",
					   "CONNECT x\n",
					   "CONNECT -1\n",
					   "CONNECT 4294967296\n",
					   "CONNECT 1 2\n",
					   "CONNECT 99999999999999999999999999999\n",
					   "\n" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		int fd = connect_to_guest(bad[i]);

		assert_closed(fd);
		close(fd);
	}
	close(connect_to_guest("CONNECT 1"));
	ready();
	expect_silence();
	assert_int_equal(((struct vsock *)fake.device.state)->host->used, 0);
}

static void
too_many_connections(void **state)
{
	struct packet p;
	int fds[VSOCK_CONNECTIONS], one_more;
	char greeting[32];

	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++) {
		fds[i] = connect_to_guest("CONNECT 5\n");
		expect(&p, REQUEST);
		tell(p.h.from_port, 5, RESPONSE);
		assert_int_equal(read(fds[i], greeting, sizeof(greeting)), 14);
	}
	one_more = connect_to_guest("CONNECT 5\n");
	assert_closed(one_more);
	close(one_more);
	expect_silence();
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		close(fds[i]);
	ready();
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		expect(&p, SHUTDOWN);
	expect_silence();
}

/* Processes that connect and say nothing do not keep others from connecting. */
static void
silent_callers(void **state)
{
	struct packet p;
	int fds[VSOCK_CONNECTIONS], spoken, fd;

	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		fds[i] = connect_to_guest(i % 2 ? "CONNECT" : "");
	fd = call();
	assert_closed(fds[0]);
	spoken = connect_to_guest("CONNECT 5\n");
	assert_closed(fds[1]);
	expect(&p, REQUEST);
	assert_int_equal(write(fds[2], "CONNECT 6\n", 10), 10);
	ready();
	expect(&p, REQUEST);
	assert_int_equal(p.h.to_port, 6);
	close(fd);
	close(spoken);
	ready();
	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		close(fds[i]);
	ready();
}

/* The events of a caller that has been dropped are not those of the one in its place. */
static void
a_silent_caller_hangs_up_late(void **state)
{
	int fds[VSOCK_CONNECTIONS], fd;
	struct packet p;
	bool pending;

	for (uint32_t i = 0; i < VSOCK_CONNECTIONS; i++)
		fds[i] = connect_to_guest("");
	fd = socket_begin_unix(path, &pending);
	assert_true(fd >= 0);
	close(fds[0]);
	ready();
	assert_int_equal(write(fd, "CONNECT 5\n", 10), 10);
	ready();
	expect(&p, REQUEST);
	close(fd);
	ready();
	for (uint32_t i = 1; i < VSOCK_CONNECTIONS; i++)
		close(fds[i]);
	ready();
}

/* Callers that connect as fast as they are accepted do not keep the I/O thread. */
static void
callers_without_end(void **state)
{
	bool pending;
	int fd = socket_begin_unix(path, &pending);

	assert_true(fd >= 0);
	callers = 10000;
	assert_int_equal(vsock.watches[0].ready(&fake.device, 0, EPOLLIN), 0);
	assert_in_range(callers, 10000 - 100, 10000 - 1);
	ready();
	callers = 0;
	/* All are accepted in the end. */
	close(fd);
	fd = connect_to_guest("CONNECT 5\n");
	for (int i = 0; i < 1000 && !((struct vsock *)fake.device.state)->port; i++) {
		usleep(1000);
		ready();
	}
	assert_int_not_equal(((struct vsock *)fake.device.state)->port, 0);
	close(fd);
	ready();
}

/* No descriptor is left for a caller: it waits, without events, and is accepted later. */
static void
a_caller_without_descriptor(void **state)
{
	const struct vsock_host *host = ((struct vsock *)fake.device.state)->host;
	struct pollfd event = { .fd = driver.watched, .events = POLLIN };
	struct rlimit limit, low;
	struct packet p;
	bool pending;
	int fd = socket_begin_unix(path, &pending);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "CONNECT 5\n", 10), 10);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	for (low.rlim_cur = 0; fcntl((int)low.rlim_cur, F_GETFD) >= 0; low.rlim_cur++)
		;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	accepts = 0;
	for (int i = 0; i < 1000; i++)
		if (poll(&event, 1, 0))
			assert_int_equal(vsock.watches[0].ready(&fake.device, 0, EPOLLIN), 0);
	assert_in_range(accepts, 1, 100);
	assert_int_equal(host->used, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(poll(&event, 1, 10000), 1); /* no other caller wakes it */
	ready();
	expect(&p, REQUEST);
	close(fd);
	ready();
}

/* Most descriptors are left to others. */
static void
few_descriptors(void **state)
{
	struct rlimit limit, low;
	struct packet p;
	int fds[20], one_more;

	stop();
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	low.rlim_cur = 80;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	start(MINIVMM_FRESH);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	begin(DRIVER_SIZE - 1);
	for (int i = 0; i < 20; i++) {
		fds[i] = connect_to_guest("CONNECT 5\n");
		expect(&p, REQUEST);
	}
	one_more = connect_to_guest("CONNECT 5\n");
	assert_closed(one_more);
	close(one_more);
	expect_silence();
	for (int i = 0; i < 20; i++)
		close(fds[i]);
	ready();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(invalid_requests_of_clients),
		TEST(too_many_connections),
		TEST(silent_callers),
		TEST(a_silent_caller_hangs_up_late),
		TEST(callers_without_end),
		TEST(a_caller_without_descriptor),
		TEST(few_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
