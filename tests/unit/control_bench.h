/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A control socket on a real loop, with commands that reply at once, later, at length, or not at
 * all, and the client's side of a connection.
 */
#ifndef TESTS_CONTROL_BENCH_H
#define TESTS_CONTROL_BENCH_H

/* Before cmocka.h, which defines another fail(). */
#include "base/log.h"
#include "control/control.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/host.h"

struct bench {
	struct vm_clock clock;
	struct loop loop;
	struct control control;
	char folder[64], path[96];
	struct command *kept[CONTROL_CLIENTS]; /* of "keep", in order */
	unsigned kept_count, runs;
	int passed;           /* of "take" */
	unsigned descriptors; /* at the start of the test */
};

/* A thread closes what a client has passed, or a connection in which something waits. */
static void
until_open(unsigned descriptors)
{
	for (int i = 0; i < 10000 && host_descriptors() != descriptors; i++)
		usleep(1000);
	assert_int_equal(host_descriptors(), descriptors);
}

static void
run_echo(void *context, struct command *command, int argc, char **argv)
{
	((struct bench *)context)->runs++;
	assert_null(argv[argc]);
	for (int i = 1; i < argc; i++)
		fprintf(command->reply, ",\n\"a%d\":\"%s\"", i, argv[i]);
	command_done(command);
}

static void
run_keep(void *context, struct command *command, int argc, char **argv)
{
	struct bench *bench = context;

	assert_true(bench->kept_count < CONTROL_CLIENTS);
	bench->kept[bench->kept_count++] = command;
}

static void
run_take(void *context, struct command *command, int argc, char **argv)
{
	struct bench *bench = context;

	bench->passed = command_take_fd(command);
	assert_int_equal(command_take_fd(command), -1);
	if (bench->passed < 0)
		command_fail(command, "no %s", "descriptor");
	else
		command_done(command);
}

/* Replies with a megabyte. */
static void
run_big(void *context, struct command *command, int argc, char **argv)
{
	((struct bench *)context)->runs++;
	fprintf(command->reply, ",\"x\":\"%01048576d\"", 0);
	command_done(command);
}

static void
run_close(void *context, struct command *command, int argc, char **argv)
{
	command_done(command);
	control_close(&((struct bench *)context)->control);
}

static const struct command_row commands[] = {
	{ "echo", "echo [WORD...]", "sends words back", 0, UINT32_MAX, true, run_echo, NULL },
	{ "keep", "keep", "is answered later", 0, 1, false, run_keep, NULL },
	{ "take", "take", "takes a descriptor", 0, 0, false, run_take, NULL },
	{ "big", "big", "a long reply", 0, 0, false, run_big, NULL },
	{ "close", "close", "closes", 0, 0, false, run_close, NULL },
	{ 0 },
};

/* Opens the socket. */
static inline void
bench_open(struct bench *bench)
{
	assert_int_equal(control_open(&bench->control, &bench->loop, bench->path, commands, bench),
			 0);
}

static int
setup(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	*state = bench;
	assert_non_null(bench);
	strcpy(bench->folder, "/tmp/minivmm-control-XXXXXX");
	assert_non_null(mkdtemp(bench->folder));
	snprintf(bench->path, sizeof(bench->path), "%s/vm.sock", bench->folder);
	assert_int_equal(loop_init(&bench->loop, &bench->clock), 0);
	assert_int_equal(loop_once(&bench->loop, 0), 0);
	bench->descriptors = host_descriptors();
	/* Only the socket has events in the loop: the machine is paused. */
	bench_open(bench);
	return 0;
}

static int
teardown(void **state)
{
	struct bench *bench = *state;

	control_close(&bench->control);
	until_open(bench->descriptors);
	loop_free(&bench->loop);
	unlink(bench->path);
	assert_int_equal(rmdir(bench->folder), 0);
	free(bench);
	return 0;
}

static inline int
try_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, path);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
		return fd;
	close(fd);
	return -1;
}

static inline int
client(struct bench *bench)
{
	int fd = try_connect(bench->path);

	assert_true(fd >= 0);
	return fd;
}

static inline void
settle(struct bench *bench)
{
	for (int i = 0; i < 50; i++)
		assert_int_equal(loop_once(&bench->loop, 0), 0);
}

static inline void
put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Runs the loop until the client has received a line, or the end of the connection (then ""). */
static inline const char *
get(struct bench *bench, int fd)
{
	static char line[2 << 20];
	size_t length = 0;

	for (int i = 0; i < 100000; i++) {
		ssize_t n = recv(fd, line + length, 1, 0);

		if (n == 1 && line[length++] == '\n')
			break;
		if (n == 0 || (n < 0 && errno != EAGAIN))
			break;
		if (n < 0)
			assert_int_equal(loop_once(&bench->loop, 1), 0);
		else
			i = 0;
	}
	line[length] = '\0';
	return line;
}

#define ERROR(text) "{\"ok\":false,\"error\":\"" text "\"}\n"
#define OK "{\"ok\":true}\n"

static inline void
asks(struct bench *bench, int fd, const char *request, const char *reply)
{
	put(fd, request);
	assert_string_equal(get(bench, fd), reply);
}

static inline void
hung_up(struct bench *bench, int fd)
{
	assert_string_equal(get(bench, fd), "");
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
