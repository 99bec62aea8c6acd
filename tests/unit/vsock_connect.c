/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs whose socket the host passes on: a port of the guest, without a greeting. */
#include "unit/vsock_bench.h"

static uint64_t last_id;

/* Returns what the callback does; *fd is the program's end, *theirs the plugin's. */
static int
join(uint64_t port, int *fd, int *theirs)
{
	struct minivmm_connect connect = { .id = ++last_id, .port = port, .size = sizeof(connect) };
	int ends[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends),
			 0);
	connect.fd = *theirs = ends[0];
	*fd = ends[1];
	return vsock.connect(&fake.device, &connect);
}

static int
joined(uint64_t port)
{
	int fd, theirs;

	assert_int_equal(join(port, &fd, &theirs), MINIVMM_PENDING);
	return fd;
}

/* The answers since the last call: "+" for each that is good, or the error. */
static void
answered(const char *error)
{
	char expected[256];

	snprintf(expected, sizeof(expected), "%llu%s%s\n", (unsigned long long)last_id,
		 error ? ": " : " ok", error ? error : "");
	assert_string_equal(fake.answers, expected);
	*fake.answers = '\0';
}

static int
setup_once(void **state)
{
	last_id = 0;
	return setup(state);
}

static void
reaches_a_port(void **state)
{
	struct packet p;
	uint32_t port;
	int fd = joined(22);

	expect(&p, REQUEST);
	assert_int_equal(p.h.to_port, 22);
	port = p.h.from_port;
	assert_string_equal(fake.answers, "");
	tell(port, 22, RESPONSE);
	answered(NULL);
	send_packet(port, 22, RW, 0, "first", 5, 0);
	assert_reads(fd, "first"); /* no OK line before it */
	assert_int_equal(write(fd, "second", 6), 6);
	ready();
	expect(&p, RW);
	assert_memory_equal(p.data, "second", 6);
	shutdown(fd, SHUT_WR);
	ready();
	expect(&p, SHUTDOWN);
	assert_int_equal(p.h.flags, VSOCK_NO_SEND);
	send_packet(port, 22, RW, 0, "still", 5, 0);
	assert_reads(fd, "still");
	send_packet(port, 22, SHUTDOWN, VSOCK_NEITHER, "", 0, 0);
	expect(&p, RST);
	assert_closed(fd);
	close(fd);
	assert_string_equal(fake.answers, "");
}

static void
the_guest_refuses(void **state)
{
	struct packet p;
	int fd = joined(22);

	expect(&p, REQUEST);
	tell(p.h.from_port, 22, RST);
	answered("the guest refuses it: no program listens on that port");
	assert_closed(fd);
	close(fd);
	fd = joined((uint64_t)UINT32_MAX + 1);
	answered("the largest port is 4294967295");
	assert_closed(fd);
	close(fd);
	expect_silence();
}

/* The program goes away before the guest has answered; a reset of the driver; one of the machine.
 */
static void
ends_before_the_answer(void **state)
{
	static const char *const ended = "the connection has ended before the guest has answered";
	struct packet p;
	int fd = joined(22);

	expect(&p, REQUEST);
	close(fd);
	ready();
	expect(&p, RST);
	answered(ended);
	fd = joined(22);
	expect(&p, REQUEST);
	driver_write(&fake, 0x070, 0);
	answered(ended);
	assert_closed(fd);
	close(fd);
	begin(16);
	fd = joined(22);
	expect(&p, REQUEST);
	fake_start(&fake, MINIVMM_RESET);
	answered(ended);
	assert_closed(fd);
	close(fd);
}

/* The guest's driver comes later. */
static void
waits_for_the_driver(void **state)
{
	struct packet p;
	int fd;

	driver_write(&fake, 0x070, 0);
	fd = joined(22);
	assert_string_equal(fake.answers, "");
	begin(16);
	expect(&p, REQUEST);
	tell(p.h.from_port, 22, RESPONSE);
	answered(NULL);
	close(fd);
}

static void
too_many(void **state)
{
	struct vsock_host *host = ((struct vsock *)fake.device.state)->host;
	uint32_t most = host->most;
	int fds[2], silent, fd, theirs;
	struct packet p;

	host->most = 2;
	silent = connect_to_guest("CONN");
	fds[0] = joined(5);
	expect(&p, REQUEST);
	fds[1] = joined(5); /* in the place of the caller that says nothing */
	expect(&p, REQUEST);
	assert_closed(silent);
	close(silent);
	assert_int_equal(join(5, &fd, &theirs), -1);
	assert_string_equal(fake.last, "there are 2 connections already; close some");
	close(theirs); /* it stayed the host's */
	close(fd);
	expect_silence();
	close(fds[0]);
	close(fds[1]);
	ready();
	host->most = most;
}

#define TEST_CONNECT(name) cmocka_unit_test_setup_teardown(name, setup_once, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST_CONNECT(reaches_a_port),
		TEST_CONNECT(the_guest_refuses),
		TEST_CONNECT(ends_before_the_answer),
		TEST_CONNECT(waits_for_the_driver),
		TEST_CONNECT(too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
