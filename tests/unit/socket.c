/* SPDX-License-Identifier: BSD-2-Clause */
/* Sockets of the host: connecting, listening, and the socket files of dead processes. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/socket.h"

#include <cmocka.h>

#include "host.h"

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

static int
listens(const char *path, struct socket_file *file)
{
	struct why why = { 0 };

	return socket_listen_unix(path, 0, 1, file, &why);
}

static void
unix_sockets(void **state)
{
	struct socket_file file;
	struct why why = { 0 };
	struct stat st;
	int listener = socket_listen_unix("a", 0600, 4, &file, &why), client, served;
	bool pending;
	uid_t uid;

	assert_true(listener >= 0);
	assert_int_equal(stat("a", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
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
	assert_true(there("a.lock"));
	socket_file_remove(&file);
	assert_false(there("a"));
	assert_false(there("a.lock"));
}

/* The directory has any length, absolute or relative; the name has a limit, everywhere the same. */
static void
paths_of_any_length(void **state)
{
	char *top = getcwd(NULL, 0), name[SOCKET_NAME_MAX + 2] = "", path[4096], absolute[8192];
	struct socket_file file;
	struct why why = { 0 };
	bool pending;
	int fd;

	memset(path, 0, sizeof(path));
	for (int i = 0; i < 4; i++) {
		memset(path + strlen(path), 'd', 100);
		assert_int_equal(mkdir(path, 0700), 0);
		strcat(path, "/");
	}
	memset(name, 'n', SOCKET_NAME_MAX);
	strcat(path, name);
	snprintf(absolute, sizeof(absolute), "%s/%s", top, path);
	fd = listens(path, &file);
	assert_true(fd >= 0);
	close(socket_connect_unix(path));
	close(socket_begin_unix(absolute, &pending));
	assert_int_equal(listens(absolute, &(struct socket_file){ 0 }), -1);
	close(fd);
	socket_file_remove(&file);
	fd = listens(absolute, &file);
	assert_true(fd >= 0);
	*strrchr(absolute, '/') = '\0';
	assert_int_equal(chdir(absolute), 0);
	close(socket_connect_unix(name));
	assert_int_equal(listens(name, &(struct socket_file){ 0 }), -1);
	assert_int_equal(chdir(top), 0);
	close(fd);
	socket_file_remove(&file);
	strcat(path, "n");
	assert_int_equal(socket_connect_unix(path), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(socket_begin_unix(strrchr(path, '/') + 1, &pending), -1);
	assert_int_equal(errno, ENAMETOOLONG);
	assert_int_equal(socket_listen_unix(path, 0, 1, &file, &why), -1);
	assert_string_equal(why.text, "has a name of more than 85 bytes; use a shorter name");
	assert_int_equal(socket_check_unix("/a/b", SOCKET_NAME_MAX - 1, &why), 0);
	assert_int_equal(socket_check_unix("/a/b", SOCKET_NAME_MAX, &why), -1);
	assert_int_equal(socket_check_unix("/a/", 0, &why), -1);
	assert_int_equal(socket_check_unix("", 0, &why), -1);
	free(top);
}

static void
refused(const char *path, const char *reason)
{
	struct socket_file file;
	struct why why = { 0 };

	assert_int_equal(socket_listen_unix(path, 0, 1, &file, &why), -1);
	if (!strstr(why.text, reason))
		fail_msg("%s: %s", why.text, reason);
	socket_file_remove(&file);
}

static void
bind_plainly(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (type == SOCK_STREAM)
		close(fd);
}

/* What may be at the path, and at that of the lock file. */
static void
only_stale_sockets_are_replaced(void **state)
{
	struct socket_file file, other;
	const char *mine = "another device of this machine listens on it; stop it or";
	int fd = listens("b", &file);
	FILE *file_of_the_user;

	assert_true(fd >= 0);
	refused("b", mine);
	assert_true(there("b"));
	/* A process that knows nothing of the lock. */
	assert_int_equal(unlink("b.lock"), 0);
	refused("b", mine);
	assert_true(there("b") && !there("b.lock"));
	/* Another process replaces the files of one that has ended: they are not removed. */
	assert_int_equal(link("b", "b.old"), 0); /* its inode is not used again */
	close(fd);
	fd = listens("b", &other);
	assert_true(fd >= 0);
	socket_file_remove(&file);
	assert_true(there("b") && there("b.lock"));
	close(fd);
	socket_file_remove(&other);
	assert_false(there("b") || there("b.lock"));

	bind_plainly("stale", SOCK_STREAM);
	fd = listens("stale", &file);
	assert_true(fd >= 0);
	close(fd);
	socket_file_remove(&file);
	bind_plainly("datagrams", SOCK_DGRAM);
	refused("datagrams", "wrong type");
	close(file_open("file", FILE_NEW));
	refused("file", "is not a socket");
	assert_int_equal(symlink("stale", "link"), 0);
	refused("link", "is not a socket");
	assert_int_equal(mkdir("folder", 0700), 0);
	refused("folder", "is not a socket");
	refused("folder/", "names no socket");
	refused("none/x", "No such file or directory");
	assert_int_equal(symlink("file", "x.lock"), 0);
	refused("x", "cannot open its lock file x.lock: ");
	assert_int_equal(mkfifo("y.lock", 0600), 0);
	refused("y", "is not a regular file");
	assert_int_equal(mkdir("z.lock", 0600), 0);
	refused("z", "cannot open its lock file z.lock: Is a directory");
	file_of_the_user = fopen("w.lock", "w");
	assert_true(file_of_the_user && fputs("text", file_of_the_user) >= 0);
	fclose(file_of_the_user);
	refused("w", "w.lock would be its lock file, but is not empty");
	assert_true(there("w.lock"));
	assert_false(there("w") || there("x") || there("y") || there("z"));
}

#define RACERS 8

/* Listens when the gate opens, tells whether it does, and lives until told to end. */
static void
race(int gate, int result, int end)
{
	struct socket_file file;
	char byte;
	int fd;

	(void)!read(gate, &byte, 1);
	fd = listens("race", &file);
	byte = fd >= 0 ? 'y' : 'n';
	(void)!write(result, &byte, 1);
	(void)!read(end, &byte, 1);
	if (byte == 'r')
		socket_file_remove(&file);
	_exit(0);
}

/* Of several processes that start on one path, stale or free, one listens, and it can be reached.
 * Every other round, that one ends without removing its files. */
static void
one_of_many_listens(void **state)
{
	int gate[2], result[2], end[2], status;
	char bytes[RACERS] = "";

	for (int round = 0; round < 40; round++) {
		unsigned listening = 0;

		assert_false(pipe(gate) || pipe(result) || pipe(end));
		for (int i = 0; i < RACERS; i++)
			if (!fork())
				race(gate[0], result[1], end[0]);
		assert_int_equal(write(gate[1], bytes, RACERS), RACERS);
		for (int i = 0; i < RACERS; i++) {
			assert_int_equal(read(result[0], bytes, 1), 1);
			listening += *bytes == 'y';
		}
		assert_int_equal(listening, 1);
		close(socket_connect_unix("race"));
		memset(bytes, round % 2 ? 'r' : 'k', RACERS);
		assert_int_equal(write(end[1], bytes, RACERS), RACERS);
		for (int i = 0; i < RACERS; i++)
			assert_true(wait(&status) > 0 && !status);
		for (int i = 0; i < 2; i++)
			close(gate[i]), close(result[i]), close(end[i]);
		assert_int_equal(there("race"), !(round % 2));
	}
}

#define TURNS 500

struct turns {
	atomic_uint listening, together, turns;
};

/* Listens again and again, and removes both files each time. */
static void
take_turns(struct turns *shared)
{
	struct socket_file file;
	int fd;

	while (atomic_load(&shared->turns) < TURNS) {
		fd = listens("turns", &file);
		if (fd < 0)
			continue;
		if (atomic_fetch_add(&shared->listening, 1))
			atomic_fetch_add(&shared->together, 1);
		sched_yield();
		atomic_fetch_sub(&shared->listening, 1);
		close(fd);
		socket_file_remove(&file);
		atomic_fetch_add(&shared->turns, 1);
	}
	_exit(0);
}

/* Processes that come and go: the lock file that one has opened may be removed by its owner before
 * it is locked. Never do two listen. */
static void
never_two_at_once(void **state)
{
	struct turns *shared =
	    mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status;

	assert_true(shared != MAP_FAILED);
	for (int i = 0; i < RACERS; i++)
		if (!fork())
			take_turns(shared);
	for (int i = 0; i < RACERS; i++)
		assert_true(wait(&status) > 0 && !status);
	assert_int_equal(atomic_load(&shared->together), 0);
	assert_false(there("turns") || there("turns.lock"));
	munmap(shared, sizeof(*shared));
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
	while (fcntl(fd + 1, F_GETFD) >= 0) /* a thread closes it */
		usleep(1000);
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

/* Only a connected unix stream socket that has received nothing passes, and does not block then. */
static void
checks_passed_descriptors(void **state)
{
	static const char *const other = "the descriptor is not a connected unix stream socket";
	int ends[2], fds[8], count = 0;
	struct why why;
	char byte;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fds[count++] = ends[0];
	fds[count++] = ends[1];
	fds[count++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	fds[count++] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fds[count++] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
	fds[count++] = ends[0];
	fds[count++] = ends[1];
	fds[count++] = -1;
	while (count--) {
		why = (struct why){ 0 };
		assert_int_equal(socket_check_passed(fds[count], &why), -1);
		assert_string_equal(why.text, other);
		if (fds[count] >= 0)
			close(fds[count]);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(socket_check_passed(ends[0], &why), 0);
	assert_int_equal(recv(ends[0], &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	joined(ends[1], ends[0]);
	assert_int_equal(send(ends[1], "early", 5, 0), 5);
	assert_int_equal(socket_check_passed(ends[0], &why), -1);
	assert_string_equal(why.text, "the socket has unread bytes: send them after the reply");
	close(ends[0]);
	close(ends[1]);
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
		cmocka_unit_test(paths_of_any_length),
		cmocka_unit_test(only_stale_sockets_are_replaced),
		cmocka_unit_test(one_of_many_listens),
		cmocka_unit_test(never_two_at_once),
		cmocka_unit_test(tcp),
		cmocka_unit_test(tcp_texts),
		cmocka_unit_test(passes_descriptors),
		cmocka_unit_test(checks_passed_descriptors),
	};

	return cmocka_run_group_tests(tests, host_enter_folder, host_leave_folder);
}
