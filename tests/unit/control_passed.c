/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that a client of the control socket passes: none is lost, and none blocks. */
#include "unit/control_bench.h"

#include <netinet/in.h>

static void
send_descriptors(int fd, const char *text, const int *passed, size_t count)
{
	union {
		char bytes[CMSG_SPACE(20 * sizeof(int))];
		struct cmsghdr aligned;
	} control = { 0 };
	struct iovec part = { (char *)text, strlen(text) };
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(header), passed, count * sizeof(int));
	assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), strlen(text));
}

static void
passed_descriptors(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench), ends[2], many[20];
	unsigned before;
	char byte;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	for (int i = 0; i < 20; i++)
		many[i] = ends[1];
	asks(bench, fd, "echo\n", OK);
	before = host_descriptors();

	send_descriptors(fd, "take\n", many, 1);
	assert_string_equal(get(bench, fd), OK);
	assert_int_equal(fcntl(bench->passed, F_GETFD), FD_CLOEXEC);
	assert_int_equal(write(bench->passed, "x", 1), 1);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(bench->passed);
	asks(bench, fd, "take\n", ERROR("no descriptor"));

	/* More descriptors than are allowed, and more than fit into the message. */
	for (size_t count = 2; count <= 20; count += 6) {
		send_descriptors(fd, "take\n", many, count);
		assert_string_equal(get(bench, fd), OK);
		close(bench->passed);
		until_open(before);
	}
	/* Descriptors without use; for the second of two lines; in parts. */
	send_descriptors(fd, "echo\n", many, 2);
	assert_string_equal(get(bench, fd), OK);
	asks(bench, fd, "take\n", ERROR("no descriptor"));
	until_open(before);
	put(fd, "echo\n");
	send_descriptors(fd, "take\n", many, 1);
	assert_string_equal(get(bench, fd), OK);
	assert_string_equal(get(bench, fd), OK);
	close(bench->passed);
	send_descriptors(fd, "ta", many, 1);
	settle(bench);
	send_descriptors(fd, "ke\n", many, 1);
	assert_string_equal(get(bench, fd), OK);
	close(bench->passed);
	until_open(before);

	/* The client disappears; its request keeps the descriptor. */
	send_descriptors(fd, "keep\n", many, 1);
	settle(bench);
	close(fd);
	settle(bench);
	bench->passed = command_take_fd(bench->kept[0]);
	assert_int_equal(write(bench->passed, "x", 1), 1);
	close(bench->passed);
	command_done(bench->kept[0]);
	fd = client(bench);
	send_descriptors(fd, "keep", many, 3);
	settle(bench);
	close(fd);
	settle(bench);
	close(ends[0]);
	close(ends[1]); /* teardown counts descriptors */
}

/* close(2) of a passed socket may wait for its peer: SO_LINGER, and data that nobody reads. The
 * socket is of no use to the request, waits in a connection that is closed, or both. */
static void
passed_sockets_that_linger(void **state)
{
	struct bench *bench = *state;
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct linger hour = { 1, 3600 };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), sender, reader, fd,
	    last = client(bench);
	static const char much[65536];
	unsigned before;

	assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
	asks(bench, last, "echo\n", OK);
	before = host_descriptors();
	for (int waits = 0; waits < 2; waits++) {
		sender = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(sender, (struct sockaddr *)&address, size), 0);
		reader = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		while (send(sender, much, sizeof(much), MSG_DONTWAIT) > 0)
			;
		assert_int_equal(setsockopt(sender, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)), 0);
		fd = client(bench);
		if (waits) { /* in the queue of a connection that is closed for its long line */
			char line[CONTROL_LINE + 2];

			memset(line, 'x', sizeof(line) - 1);
			line[sizeof(line) - 1] = '\0';
			put(fd, line);
		}
		send_descriptors(fd, "echo\n", &sender, 1);
		close(sender);
		alarm(60); /* ends the test if the loop waits */
		settle(bench);
		close(fd);
		settle(bench);
		asks(bench, last, "echo\n", OK);
		alarm(0);
		close(reader);
		until_open(before);
	}
	close(listener);
	close(last);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(passed_descriptors),
		TEST(passed_sockets_that_linger),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
