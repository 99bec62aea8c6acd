/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets of the host: connecting, listening, and the socket files of dead processes. */
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/socket.h"

#include <cmocka.h>

static int
in_a_folder(void **state)
{
	char folder[] = "/tmp/minivmm-socket-XXXXXX";

	return !mkdtemp(folder) || chdir(folder);
}

static int
removed(void **state)
{
	char *folder = getcwd(NULL, 0), command[256];
	int r;

	if (!folder || chdir("/"))
		return -1;
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	r = system(command);
	free(folder);
	return r;
}

static bool
there(const char *path)
{
	struct stat st;

	return !lstat(path, &st);
}

/* Sends a byte from one to the other. */
static void
joined(int from, int to)
{
	struct pollfd fd = { .fd = to, .events = POLLIN };
	char byte = 0;

	assert_int_equal(send(from, "x", 1, 0), 1);
	assert_int_equal(poll(&fd, 1, 10000), 1);
	assert_int_equal(recv(to, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
}

static void
unix_sockets(void **state)
{
	struct socket_file file;
	struct stat st;
	int listener = socket_listen_unix("a", 0600, 4, &file), client, served;
	bool pending;
	uid_t uid;

	assert_true(listener >= 0);
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	client = socket_connect_unix("a");
	served = socket_accept(listener);
	assert_true(client >= 0 && served >= 0);
	assert_true(socket_peer(served, &uid));
	assert_int_equal(uid, geteuid());
	joined(client, served);
	joined(served, client);
	close(client);
	close(served);
	client = socket_begin_unix("a", &pending);
	assert_true(client >= 0 && !pending);
	close(client);
	assert_int_equal(socket_connect_unix("nothing"), -1);
	assert_int_equal(errno, ENOENT);
	close(listener);
	assert_int_equal(socket_connect_unix("a"), -1);
	assert_int_equal(errno, ECONNREFUSED);
	socket_file_remove("a", &file);
	assert_false(there("a"));
}

static void
refuses_a_path_that_is_too_long(void **state)
{
	char path[SOCKET_PATH_MAX + 2];
	struct socket_file file;
	bool pending;
	int fd;

	memset(path, 'p', sizeof(path) - 1);
	path[SOCKET_PATH_MAX + 1] = '\0';
	assert_int_equal(socket_connect_unix(path), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(socket_begin_unix(path, &pending), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(socket_listen_unix(path, 0, 1, &file), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	path[SOCKET_PATH_MAX] = '\0';
	fd = socket_listen_unix(path, 0, 1, &file);
	assert_true(fd >= 0);
	close(fd);
	socket_file_remove(path, &file);
}

static void
only_stale_sockets_are_removed(void **state)
{
	struct socket_file file, other;
	struct why why = { 0 };
	int fd = socket_listen_unix("b", 0, 1, &file);

	assert_true(fd >= 0);
	assert_int_equal(socket_remove_stale("nothing", &why), 0);
	assert_int_equal(socket_remove_stale("b", &why), -1);
	assert_string_equal(
	    why.text, "another process listens on it; stop that process or name another socket");
	assert_int_equal(socket_listen_unix("b", 0, 1, &other), -1);
	assert_int_equal(errno, EADDRINUSE);
	assert_true(there("b"));
	close(fd);
	assert_int_equal(socket_remove_stale("b", NULL), 0);
	assert_false(there("b"));
	/* Another process's socket with that name is kept. */
	close(file_open("c", FILE_NEW));
	fd = socket_listen_unix("b", 0, 1, &other);
	assert_true(fd >= 0);
	if (other.inode != file.inode)
		socket_file_remove("b", &file);
	assert_true(there("b"));
	close(fd);
	assert_int_equal(socket_remove_stale("c", &why), -1);
	assert_non_null(strstr(why.text, "is not a socket"));
	assert_true(there("c"));
	socket_file_remove("c", &(struct socket_file){ 0 });
	assert_true(there("c"));
}

static void
tcp(void **state)
{
	struct addrinfo *addresses;
	char host[64], port[8], text[80];
	int listener, client, served;
	struct why why = { 0 };
	struct pollfd fd;
	bool pending;

	assert_int_equal(socket_resolve("127.0.0.1:0", true, &addresses, &why), 0);
	listener = socket_listen(addresses, 1);
	freeaddrinfo(addresses);
	assert_true(listener >= 0);
	assert_true(socket_local_address(listener, host, sizeof(host), port, sizeof(port)));
	assert_string_equal(host, "127.0.0.1");
	snprintf(text, sizeof(text), "%s:%s", host, port);
	assert_int_equal(socket_resolve(text, false, &addresses, &why), 0);
	client = socket_begin(addresses, &pending);
	assert_true(client >= 0);
	fd = (struct pollfd){ .fd = client, .events = POLLOUT };
	assert_int_equal(poll(&fd, 1, 10000), 1);
	assert_int_equal(socket_error(client), 0);
	fd = (struct pollfd){ .fd = listener, .events = POLLIN };
	assert_int_equal(poll(&fd, 1, 10000), 1);
	served = socket_accept(listener);
	assert_true(served >= 0);
	joined(client, served);
	close(served);
	close(client);
	close(listener);
	client = socket_begin(addresses, &pending);
	freeaddrinfo(addresses);
	if (client >= 0) { /* assigned by the kernel */
		fd = (struct pollfd){ .fd = client, .events = POLLOUT };
		assert_true(pending);
		assert_int_equal(poll(&fd, 1, 10000), 1);
		assert_int_equal(socket_error(client), ECONNREFUSED);
		close(client);
	} else
		assert_int_equal(errno, ECONNREFUSED);
}

static void
passes_descriptors(void **state)
{
	int ends[2], fd = -1, other = -1;
	char bytes[8];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(socket_receive_fd(ends[1], bytes, sizeof(bytes), &fd), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(socket_send_fd(ends[0], "abc", 3, -1), 3);
	assert_int_equal(socket_receive_fd(ends[1], bytes, sizeof(bytes), &fd), 3);
	assert_memory_equal(bytes, "abc", 3);
	assert_int_equal(fd, -1);
	assert_int_equal(socket_send_fd(ends[0], "d", 1, ends[0]), 1);
	assert_int_equal(socket_receive_fd(ends[1], bytes, sizeof(bytes), &fd), 1);
	assert_true(fd >= 0 && fd != ends[0]);
	/* The first descriptor is kept; a second one is closed. */
	other = fd;
	assert_int_equal(socket_send_fd(ends[0], "e", 1, ends[0]), 1);
	assert_int_equal(socket_receive_fd(ends[1], bytes, sizeof(bytes), &fd), 1);
	assert_int_equal(fd, other);
	assert_int_equal(dup(0), fd + 1);
	close(fd + 1);
	joined(fd, ends[1]);
	close(fd);
	close(ends[0]);
	assert_int_equal(socket_receive_fd(ends[1], bytes, sizeof(bytes), &fd), 0);
	close(ends[1]);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	close(ends[1]);
	assert_int_equal(socket_send_fd(ends[0], "f", 1, -1), -1); /* no signal */
	assert_int_equal(errno, EPIPE);
	close(ends[0]);
}

static void
tcp_texts(void **state)
{
	static const struct {
		const char *text, *wrong; /* the error; NULL: none */
	} cases[] = {
		{ "localhost:1", NULL },
		{ "[::1]:65535", NULL },
		{ "127.0.0.1", "has no port; write HOST:PORT" },
		{ "127.0.0.1:", "has no port from 0 to 65535 at its end" },
		{ "127.0.0.1:65536", "has no port from 0 to 65535 at its end" },
		{ "127.0.0.1:http", "has no port from 0 to 65535 at its end" },
		{ ":80", "names no host; use 127.0.0.1 for this host only" },
		{ "[]:80", "names no host; use 127.0.0.1 for this host only" },
	};
	char text[300];
	struct why why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		why = (struct why){ 0 };
		assert_int_equal(socket_check_tcp(cases[i].text, &why), cases[i].wrong ? -1 : 0);
		if (cases[i].wrong)
			assert_memory_equal(why.text, cases[i].wrong, strlen(cases[i].wrong));
	}
	memset(text, 'h', sizeof(text));
	strcpy(text + 290, ":80");
	assert_int_equal(socket_check_tcp(text, &why), -1);
	assert_string_equal(why.text, "names a host that is too long");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unix_sockets),
		cmocka_unit_test(refuses_a_path_that_is_too_long),
		cmocka_unit_test(only_stale_sockets_are_removed),
		cmocka_unit_test(tcp),
		cmocka_unit_test(tcp_texts),
		cmocka_unit_test(passes_descriptors),
	};

	return cmocka_run_group_tests(tests, in_a_folder, removed);
}
