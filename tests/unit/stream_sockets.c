/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams on sockets: clients connect, disconnect and connect again. */
#include "unit/stream_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

static bool never_connects;

/* Replaces libc's. While never_connects is set, each attempt starts, and its descriptor never
 * becomes writable. */
int
connect(int fd, const struct sockaddr *address, socklen_t length)
{
	uint64_t full = UINT64_MAX - 1;
	int full_fd;

	if (!never_connects)
		return (int)syscall(SYS_connect, fd, address, length);
	full_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(write(full_fd, &full, sizeof(full)), sizeof(full));
	assert_int_equal(dup2(full_fd, fd), fd);
	close(full_fd);
	errno = EINPROGRESS;
	return -1;
}

static unsigned accepts; /* calls */

/* Replaces libc's. */
int
accept4(int fd, struct sockaddr *address, socklen_t *length, int flags)
{
	accepts++;
	return (int)syscall(SYS_accept4, fd, address, length, flags);
}

static size_t endless; /* bytes that a peer still sends during the reads of the end */

/* Replaces libc's. */
ssize_t
recvmsg(int fd, struct msghdr *message, int flags)
{
	size_t length = message->msg_iov->iov_len;

	if (!endless)
		return syscall(SYS_recvmsg, fd, message, flags);
	length = length < endless ? length : endless;
	endless -= length;
	message->msg_controllen = 0;
	return (ssize_t)length;
}

static int
unix_client(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, bench_path(name));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int
unix_server(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(address.sun_path, bench_path(name));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
unix_clients_one_at_a_time(void **state)
{
	int first, second;
	char byte;

	bench_open(bench_spec("unix-listen", "sock"), NULL);
	put("before ");
	first = unix_client("sock");
	put("and after");
	until(!bench.stream.output_length);
	assert_reads(first, "before and after");
	second = unix_client("sock");
	fcntl(second, F_SETFL, O_NONBLOCK);
	converse(first);
	assert_int_equal(read(second, &byte, 1), -1);
	close(first);
	until(!bench.stream.out.connected);
	until(bench.stream.out.connected);
	fcntl(second, F_SETFL, 0);
	converse(second);
	bench_close();
	assert_int_equal(read(second, &byte, 1), 0);
	assert_int_equal(access(bench_path("sock"), F_OK), -1);
	close(second);
}

/* After a stalled client dies, the guest continues, and the next client gets the pending output. */
static void
a_client_that_dies_while_it_stalls(void **state)
{
	int fd;

	bench_open(bench_spec("unix-listen", "sock"), NULL);
	fd = unix_client("sock");
	until(bench.stream.out.connected);
	do {
		while (stream_write(&bench.stream, "0123456789abcdef", 16) == 16)
			;
		settle();
	} while (stream_writable(&bench.stream));
	bench.writable = 0;
	close(fd);
	until(bench.writable == 1);
	put("guest goes on");
	fd = unix_client("sock");
	until(!bench.stream.output_length);
	assert_false(bench.stream.failed);
	close(fd);
}

static void
a_stale_socket_is_replaced_a_live_one_not(void **state)
{
	struct stream other;
	int fd = unix_server("sock");

	assert_int_equal(bench_init(bench_spec("unix-listen", "sock"), ""), 0);
	assert_int_equal(stream_open(&bench.stream, false), -STATUS_IO);
	assert_logged("cannot listen: another device of this machine listens on it");
	stream_free(&bench.stream);
	close(fd);
	bench_open(bench_spec("unix-listen", "sock"), "");
	assert_int_equal(stream_init(&other, &bench.hub, "serial1",
				     &(struct stream_option){
					 "output", bench_spec("unix-listen", "sock"), in_config },
				     &(struct stream_option){ "input", "", in_config }),
			 0);
	assert_int_equal(stream_open(&other, false), -STATUS_IO);
	stream_free(&other);
	close(unix_client("sock"));
	/* A file that is not a socket is not removed. */
	fd = open(bench_path("file"), O_CREAT | O_WRONLY, 0600);
	close(fd);
	bench_close();
	assert_int_equal(bench_init(bench_spec("unix-listen", "file"), ""), 0);
	assert_int_equal(stream_open(&bench.stream, false), -STATUS_IO);
	assert_int_equal(access(bench_path("file"), F_OK), 0);
}

static void
connecting_to_a_server(void **state)
{
	int server = unix_server("sock"), fd;

	bench_open(bench_spec("unix", "sock"), NULL);
	fd = accept(server, NULL, NULL);
	converse(fd);
	assert_int_equal(write(fd, "last", 4), 4);
	shutdown(fd, SHUT_WR);
	until(bench.stream.out.ended);
	assert_takes("last");
	settle();
	put("still heard");
	until(!bench.stream.output_length);
	assert_reads(fd, "still heard");
	close(fd);
	put("lost");
	until(bench.stream.failed);
	assert_logged("cannot write to unix:");
	close(server);
}

/* Output only: bytes from the peer are discarded, its hang-up is detected. */
static bool
has_ended(void *context)
{
	return true;
}

static void
the_machine_ends_during_a_connect(void **state)
{
	const char *const outputs[] = { "unix:/nonexistent", "tcp:127.0.0.1:1" };
	int status;

	bench.hub.ended = has_ended;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(bench_init(outputs[i], ""), 0);
		loop_wake(&bench.loop);
		never_connects = true;
		status = stream_open(&bench.stream, false);
		never_connects = false;
		assert_int_equal(status, 0);
		assert_false(bench.stream.out.connected);
		assert_string_equal(bench_log(), "");
		bench_close();
	}
}

static void
a_two_way_end_used_one_way(void **state)
{
	int fd;

	bench_open(bench_spec("unix-listen", "sock"), "text:typed");
	fd = unix_client("sock");
	until(bench.stream.out.connected);
	assert_int_equal(write(fd, "ignored", 7), 7);
	settle();
	assert_takes("typed");
	put("heard");
	until(!bench.stream.output_length);
	assert_reads(fd, "heard");
	close(fd);
	until(!bench.stream.out.connected);
	bench_close();
	bench_open("none", bench_spec("unix-listen", "in"));
	for (int i = 0; i < 2; i++) {
		fd = unix_client("in");
		assert_int_equal(write(fd, "x", 1), 1);
		close(fd);
		until(stream_readable(&bench.stream));
		assert_takes("x");
	}
}

static void
input_waits_for_room(void **state)
{
	char bytes[1000];
	int fd;

	bench_open(bench_spec("unix-listen", "sock"), NULL);
	fd = unix_client("sock");
	for (int i = 0; i < 100; i++) {
		memset(bytes, 'a' + i % 26, sizeof(bytes));
		assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
		assert_int_equal(loop_once(&bench.loop, 0), 0);
	}
	close(fd); /* all bytes in flight arrive after the hang-up */
	until(stream_readable(&bench.stream) == STREAM_INPUT_SIZE);
	settle();
	for (int i = 0; i < 100; i++) {
		until(stream_readable(&bench.stream) >= sizeof(bytes));
		assert_int_equal(stream_read(&bench.stream, bytes, sizeof(bytes)), sizeof(bytes));
		assert_int_equal(bytes[0], 'a' + i % 26);
		assert_int_equal(bytes[999], 'a' + i % 26);
	}
	until(!bench.stream.out.connected);
}

static void
tcp_both_ways(void **state)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;
	char spec[64], byte;

	bench_open("tcp-listen:127.0.0.1:0", NULL);
	address.sin_port = htons((uint16_t)atoi(logged_after("listens on 127.0.0.1 port ")));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	until(bench.stream.out.connected);
	converse(fd);
	/* Output arrives although the stream is closed with unread input. */
	assert_int_equal(write(fd, "unread", 6), 6);
	usleep(1000);
	put("good bye");
	bench_close();
	assert_reads(fd, "good bye");
	assert_int_equal(read(fd, &byte, 1), 0);
	close(fd);

	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address.sin_port = 0;
	assert_int_equal(bind(server, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(server, 1), 0);
	getsockname(server, (struct sockaddr *)&address, &length);
	snprintf(spec, sizeof(spec), "tcp:127.0.0.1:%u", ntohs(address.sin_port));
	bench_open(spec, NULL);
	fd = accept(server, NULL, NULL);
	converse(fd);
	close(fd);
	close(server);
}

static void
an_inherited_socket(void **state)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(dup2(pair[0], 0), 0);
	assert_int_equal(dup2(pair[0], 1), 1);
	bench_open("stdio", "stdio");
	converse(pair[1]);
	assert_int_equal(fcntl(0, F_GETFL) & O_NONBLOCK, 0);
	close(pair[1]);
	put("x"); /* must not raise SIGPIPE */
	until(bench.stream.failed);
	close(pair[0]);
}

/* A TCP socket whose close(2) waits an hour for *reader: SO_LINGER, and data that nobody reads. */
static int
lingers(int *reader)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct linger hour = { 1, 3600 };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
	    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static const char much[65536];

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, size), 0);
	*reader = accept(listener, NULL, NULL);
	close(listener);
	while (send(fd, much, sizeof(much), MSG_DONTWAIT) > 0)
		;
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)), 0);
	return fd;
}

/* A peer passes a descriptor. Nobody wants it, and the loop does not wait until it is closed. */
static void
a_passed_socket_that_lingers(void **state)
{
	int pair[2], reader, passed;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(dup2(pair[0], 0), 0);
	bench_open("none", "stdio");
	passed = lingers(&reader);
	assert_int_equal(socket_send_fd(pair[1], "typed", 5, passed), 5);
	alarm(60); /* ends the test if the loop waits */
	close(passed);
	until(bench.stream.input_length);
	alarm(0);
	assert_takes("typed");
	close(reader);
	close(pair[0]);
	close(pair[1]);
}

static void
a_client_that_passes_a_socket(void **state)
{
	int fd, reader, passed;

	bench_open(bench_spec("unix-listen", "sock"), NULL);
	fd = unix_client("sock");
	until(bench.stream.out.connected);
	passed = lingers(&reader);
	if (socket_send_fd(fd, "typed", 5, passed) < 0) { /* since Linux 6.16 */
		const struct linger none = { 0 };

		assert_int_equal(errno, EPERM);
		assert_int_equal(write(fd, "typed", 5), 5);
		setsockopt(passed, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
	}
	alarm(60);
	close(passed);
	close(fd);
	until(!bench.stream.out.connected);
	alarm(0);
	close(reader);
}

/* No descriptor is left for a client: it waits, without events, and is accepted later. */
static void
a_client_without_descriptor(void **state)
{
	struct rlimit limit, low;
	int fd;

	bench_open(bench_spec("unix-listen", "sock"), NULL);
	fd = unix_client("sock");
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	low = limit;
	for (low.rlim_cur = 0; fcntl((int)low.rlim_cur, F_GETFD) >= 0; low.rlim_cur++)
		;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	accepts = 0;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(loop_once(&bench.loop, 0), 0);
	assert_in_range(accepts, 1, 100);
	assert_false(bench.stream.out.connected);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	until(bench.stream.out.connected);
	converse(fd);
	close(fd);
}

/* A client that sends without end does not delay the end of the machine. */
static void
a_client_that_never_stops(void **state)
{
	int fd;

	bench_open(bench_spec("unix-listen", "sock"), NULL);
	fd = unix_client("sock");
	until(bench.stream.out.connected);
	endless = 1u << 30;
	bench_close();
	assert_in_range(endless, 1u << 29, 1u << 30);
	endless = 0;
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unix_clients_one_at_a_time),
		TEST(a_client_that_dies_while_it_stalls),
		TEST(a_stale_socket_is_replaced_a_live_one_not),
		TEST(connecting_to_a_server),
		TEST(the_machine_ends_during_a_connect),
		TEST(a_two_way_end_used_one_way),
		TEST(input_waits_for_room),
		TEST(tcp_both_ways),
		TEST(an_inherited_socket),
		TEST(a_passed_socket_that_lingers),
		TEST(a_client_that_passes_a_socket),
		TEST(a_client_without_descriptor),
		TEST(a_client_that_never_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
