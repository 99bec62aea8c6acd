/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket on a real loop: requests and replies, misbehaving clients, the socket file. */
#include "control/control.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "unit/host.h"
#include "unit/said.h"

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
	{ "echo", "echo [WORD...]", "sends words back", 0, UINT32_MAX, true, run_echo },
	{ "keep", "keep", "is answered later", 0, 1, false, run_keep },
	{ "take", "take", "takes a descriptor", 0, 0, false, run_take },
	{ "big", "big", "a long reply", 0, 0, false, run_big },
	{ "close", "close", "closes", 0, 0, false, run_close },
	{ 0 },
};

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
	assert_int_equal(control_open(&bench->control, &bench->loop, bench->path, commands, bench),
			 0);
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

static int
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

static int
client(struct bench *bench)
{
	int fd = try_connect(bench->path);

	assert_true(fd >= 0);
	return fd;
}

static void
settle(struct bench *bench)
{
	for (int i = 0; i < 50; i++)
		assert_int_equal(loop_once(&bench->loop, 0), 0);
}

static void
put(int fd, const char *text)
{
	assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Runs the loop until the client has received a line, or the end of the connection (then ""). */
static const char *
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

static void
asks(struct bench *bench, int fd, const char *request, const char *reply)
{
	put(fd, request);
	assert_string_equal(get(bench, fd), reply);
}

static void
hung_up(struct bench *bench, int fd)
{
	assert_string_equal(get(bench, fd), "");
	close(fd);
}

static void
words(void **state)
{
	static const struct {
		const char *line, *words; /* separated by |; or the error */
		bool wrong;
	} cases[] = {
		{ "a", "a|", false },
		{ "  a\tbc \r", "a|bc|", false },
		{ "a \"b c\" \"\" d", "a|b c||d|", false },
		{ "a \"\\\"\\\\\"", "a|\"\\|", false },
		{ "a\\b c\\", "a\\b|c\\|", false },
		{ "", "no command; help lists them", true },
		{ " \t", "no command; help lists them", true },
		{ "a \"b", "a quote is not closed", true },
		{ "a \"b\\", "in quotes, \\ must precede \" or \\", true },
		{ "a \"\\n\"", "in quotes, \\ must precede \" or \\", true },
		{ "\"a\"b", "a blank must follow a closing quote", true },
		{ "\"a\"\"b\"", "a blank must follow a closing quote", true },
		{ "a\"b\"",
		  "a quote inside a word: quote the whole word, and write this one as \\\"", true },
	};
	char line[256], joined[256], *list[CONTROL_WORDS + 1];
	struct why why;
	int count;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int r;

		strcpy(line, cases[i].line);
		r = control_words(line, list, &count, &why);
		joined[0] = '\0';
		for (int j = 0; !r && j < count; j++)
			strcat(strcat(joined, list[j]), "|");
		assert_string_equal(r ? why.text : joined, cases[i].words);
		assert_int_equal(r != 0, cases[i].wrong);
		assert_null(list[count]);
	}
	memset(line, 0, sizeof(line));
	for (int i = 0; i < CONTROL_WORDS; i++)
		strcat(line, "a ");
	assert_int_equal(control_words(line, list, &count, NULL), 0);
	assert_int_equal(count, CONTROL_WORDS);
	for (int i = 0; i < CONTROL_WORDS; i++)
		strcpy(line + 2 * i, "a ");
	strcat(line, "a");
	assert_int_equal(control_words(line, list, &count, &why), -1);
	assert_string_equal(why.text, "more than 64 words");
}

static void
words_survive_quoting(void **state)
{
	static const char *const cases[] = { "a",  "",   "a b",   "\"",  "\\", "a\\b",
					     "\t", "\r", "\"a\"", "a\"", "é",  "\\\"" };
	char *text = NULL, *list[CONTROL_WORDS + 1];
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int count;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		fputs(i ? " " : "", out);
		control_put_word(out, cases[i]);
	}
	fclose(out);
	assert_int_equal(control_words(text, list, &count, NULL), 0);
	assert_int_equal(count, sizeof(cases) / sizeof(*cases));
	for (int i = 0; i < count; i++)
		assert_string_equal(list[i], cases[i]);
	free(text);
}

static void
replies_now(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench);

	asks(bench, fd, "echo\n", OK);
	asks(bench, fd, " echo  a \"b c\"\r\n", "{\"ok\":true, \"a1\":\"a\", \"a2\":\"b c\"}\n");
	put(fd, "echo 1\necho 2\nec");
	put(fd, "ho 3\n");
	assert_string_equal(get(bench, fd), "{\"ok\":true, \"a1\":\"1\"}\n");
	assert_string_equal(get(bench, fd), "{\"ok\":true, \"a1\":\"2\"}\n");
	assert_string_equal(get(bench, fd), "{\"ok\":true, \"a1\":\"3\"}\n");
	close(fd);
	settle(bench);
	assert_int_equal(bench->control.count, 0);
}

static void
errors(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench);

	asks(bench, fd, "\n", ERROR("no command; help lists them"));
	asks(bench, fd, "ecko\n", ERROR("unknown command ecko; did you mean echo?"));
	asks(bench, fd, "hepl\n", ERROR("unknown command hepl; did you mean help?"));
	asks(bench, fd, "\"x\\\"\x1b\xff\"\n",
	     ERROR("unknown command x\\\"\\u001b\\u00ff; help lists them"));
	asks(bench, fd, "keep 1 2\n", ERROR("keep takes fewer arguments; usage: keep"));
	asks(bench, fd, "help me\n", ERROR("help takes fewer arguments; usage: help"));
	asks(bench, fd, "take\n", ERROR("no descriptor"));
	put(fd, "help\n");
	assert_non_null(
	    strstr(get(bench, fd),
		   "{\"ok\":true,\"commands\":[{\"name\":\"help\",\"usage\":\"help\",\"help\":"
		   "\"lists the commands\"},{\"name\":\"echo\","));
	close(fd);
}

/* A client's next request waits for the reply to this one; another client's does not. */
static void
replies_later(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench), other = client(bench);

	put(fd, "keep\necho 1\n");
	put(other, "keep\n");
	settle(bench);
	assert_int_equal(bench->kept_count, 2);
	assert_int_equal(bench->runs, 0);
	assert_int_equal(loop_once(&bench->loop, 0), 0);
	fputs(",\"x\":1", bench->kept[0]->reply);
	command_done(bench->kept[0]);
	assert_string_equal(get(bench, fd), "{\"ok\":true,\"x\":1}\n");
	assert_string_equal(get(bench, fd), "{\"ok\":true, \"a1\":\"1\"}\n");
	fputs(",\"half\":", bench->kept[1]->reply); /* is discarded */
	command_fail(bench->kept[1], "it is %d", 7);
	assert_string_equal(get(bench, other), ERROR("it is 7"));
	asks(bench, other, "echo\n", OK);
	close(fd);
	close(other);
}

/* A waiting client causes no events, however much it has sent. */
static void
a_waiting_client_causes_no_events(void **state)
{
	struct bench *bench = *state;
	struct epoll_event event;
	int fd = client(bench);

	put(fd, "keep\nkeep\necho\n");
	settle(bench);
	assert_int_equal(epoll_wait(bench->loop.epoll, &event, 1, 0), 0);
	/* A client that closes only its own direction still receives the reply. */
	shutdown(fd, SHUT_WR);
	assert_int_equal(epoll_wait(bench->loop.epoll, &event, 1, 0), 0);
	assert_false(bench->kept[0]->gone);
	command_done(bench->kept[0]);
	settle(bench);
	command_done(bench->kept[1]);
	for (int i = 0; i < 3; i++)
		assert_string_equal(get(bench, fd), OK);
	hung_up(bench, fd);
}

static void
client_gone_before_the_reply(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench);

	put(fd, "keep a\necho\n");
	settle(bench);
	close(fd);
	assert_false(bench->kept[0]->gone);
	settle(bench);
	assert_true(bench->kept[0]->gone);
	assert_int_equal(bench->control.count, 0);
	fputs(",\"x\":1", bench->kept[0]->reply);
	command_done(bench->kept[0]);
	assert_int_equal(bench->runs, 0);
	/* The client has sent a request and gone: the request is executed. */
	fd = client(bench);
	put(fd, "echo\n");
	close(fd);
	settle(bench);
	assert_int_equal(bench->runs, 1);
	fd = client(bench);
	put(fd, "echo"); /* may be half of another request */
	close(fd);
	settle(bench);
	assert_int_equal(bench->runs, 1);
	assert_int_equal(bench->control.count, 0);
	/* A client that still reads receives an error. */
	fd = client(bench);
	put(fd, "echo\necho");
	shutdown(fd, SHUT_WR);
	assert_string_equal(get(bench, fd), OK);
	assert_string_equal(get(bench, fd), ERROR("the request does not end with a newline"));
	hung_up(bench, fd);
	assert_int_equal(bench->runs, 2);
}

static void
slow_reader(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench), other = client(bench);

	for (int i = 0; i < 3; i++)
		put(fd, "big\n");
	settle(bench);
	assert_int_equal(bench->runs, 1);
	asks(bench, other, "echo\n", OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(strlen(get(bench, fd)),
				 1048576 + strlen("{\"ok\":true,\"x\":\"\"}\n"));
	assert_int_equal(bench->runs, 4);
	/* Closes the connection in the middle of a reply. */
	put(fd, "big\nbig\n");
	settle(bench);
	close(fd);
	settle(bench);
	assert_int_equal(bench->runs, 5);
	assert_int_equal(bench->control.count, 1);
	close(other);
}

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
	asks(bench, fd, line, ERROR("the request is longer than 4096 bytes"));
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
	assert_string_equal(get(bench, fd), ERROR("the request is longer than 4096 bytes"));
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
						  "under way; try again when one is done"));
	hung_up(bench, fd);
	assert_int_equal(bench->control.count, CONTROL_CLIENTS);
	for (int i = 0; i < CONTROL_CLIENTS; i++) {
		command_done(bench->kept[i]);
		assert_string_equal(get(bench, fds[i]), OK);
		close(fds[i]);
	}
}

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
	const struct linger minute = { 1, 60 };
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
		assert_int_equal(setsockopt(sender, SOL_SOCKET, SO_LINGER, &minute, sizeof(minute)),
				 0);
		fd = client(bench);
		if (waits) { /* in the queue of a connection that is closed for its long line */
			char line[CONTROL_LINE + 2];

			memset(line, 'x', sizeof(line) - 1);
			line[sizeof(line) - 1] = '\0';
			put(fd, line);
		}
		send_descriptors(fd, "echo\n", &sender, 1);
		close(sender);
		settle(bench);
		close(fd);
		settle(bench);
		asks(bench, last, "echo\n", OK);
		close(reader);
		until_open(before);
	}
	close(listener);
	close(last);
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

/* While a command waits for a pause, in a nested loop, the others wait, unless they can run at any
 * time; and so does the end of a request whose client goes. */
static void
nested(void **state)
{
	struct bench *bench = *state;
	int waits = client(bench), asking = client(bench), goes = client(bench);

	asks(bench, waits, "echo\n", OK);
	put(goes, "keep\n");
	settle(bench);
	put(waits, "close\n");
	put(asking, "echo x\n");
	close(goes);
	for (int i = 0; i < 100; i++)
		assert_int_equal(loop_once_nested(&bench->loop, 0), 0);
	assert_int_equal(bench->runs, 2);
	assert_false(bench->kept[0]->gone);
	assert_non_null(bench->control.path);
	assert_string_equal(get(bench, asking), "{\"ok\":true, \"a1\":\"x\"}\n");
	settle(bench);
	assert_true(bench->kept[0]->gone);
	assert_null(bench->control.path);
	command_done(bench->kept[0]);
	close(waits);
	close(asking);
}

static void
socket_file(void **state)
{
	struct bench *bench = *state;
	struct stat file;

	assert_int_equal(lstat(bench->path, &file), 0);
	assert_true(S_ISSOCK(file.st_mode));
	assert_int_equal(file.st_mode & 07777, 0600);
	control_close(&bench->control);
	assert_int_equal(lstat(bench->path, &file), -1);
	control_close(&bench->control); /* has no effect */
	/* A file that is no longer the server's own is kept. */
	assert_int_equal(control_open(&bench->control, &bench->loop, bench->path, commands, bench),
			 0);
	unlink(bench->path);
	close(open(bench->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	control_close(&bench->control);
	assert_int_equal(unlink(bench->path), 0);
}

static const char *
refused(struct bench *bench, const char *path)
{
	static struct said said;
	struct control control;
	int status;

	said_begin(&said);
	status = control_open(&control, &bench->loop, path, commands, bench);
	said_end(&said);
	assert_int_equal(status, -STATUS_IO);
	assert_null(control.path);
	control_close(&control);
	return said.text;
}

static void
existing_files(void **state)
{
	struct bench *bench = *state;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char path[128];
	struct stat file;
	int fd;

	/* A live socket. */
	SAID(refused(bench, bench->path), bench->path, " listens on it", "name another");
	settle(bench);
	control_close(&bench->control);
	/* A stale socket. */
	strcpy(address.sun_path, bench->path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(control_open(&bench->control, &bench->loop, bench->path, commands, bench),
			 0);
	fd = client(bench);
	asks(bench, fd, "echo\n", OK);
	close(fd);
	control_close(&bench->control);
	/* Another type of file. */
	close(open(bench->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	SAID(refused(bench, bench->path), bench->path, "is not a socket", "remove it");
	assert_int_equal(unlink(bench->path), 0);
	assert_int_equal(symlink("/dev/null", bench->path), 0);
	SAID(refused(bench, bench->path), "is not a socket");
	assert_int_equal(unlink(bench->path), 0);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	SAID(refused(bench, bench->path), bench->path, "wrong type");
	assert_int_equal(lstat(bench->path, &file), 0);
	close(fd);
	unlink(bench->path);

	snprintf(path, sizeof(path), "%s/missing/vm.sock", bench->folder);
	SAID(refused(bench, path), path, "No such file or directory");
	SAID(refused(bench, ""), "the path is empty");
	memset(path, 'x', sizeof(path));
	path[86] = '\0';
	SAID(refused(bench, path), "has a name of more than 85 bytes", "shorter");
}

static void
refused_peers(void **state)
{
	struct bench *bench = *state;
	int status, fd;
	pid_t child;

	assert_true(control_admits(1000, 1000));
	assert_true(control_admits(1000, 0));
	assert_true(control_admits(0, 0));
	assert_false(control_admits(1000, 1001));
	assert_false(control_admits(0, 1000));
	if (geteuid()) /* only root can change its user ID */
		return;
	assert_int_equal(chmod(bench->path, 0666), 0);
	assert_int_equal(chmod(bench->folder, 0711), 0);
	child = fork();
	if (!child) {
		char line[256];

		if (setuid(65534))
			_exit(1);
		fd = try_connect(bench->path);
		fcntl(fd, F_SETFL, 0);
		send(fd, "echo\n", 5, MSG_NOSIGNAL);
		_exit(recv(fd, line, sizeof(line), 0) <= 0 || !strstr(line, "only root"));
	}
	while (!waitpid(child, &status, WNOHANG))
		assert_int_equal(loop_once(&bench->loop, 1), 0);
	assert_int_equal(status, 0);
	assert_int_equal(bench->runs, 0);
	assert_int_equal(bench->control.count, 0);
}

/*
 * Closing with pending requests, and from a request: waiting clients receive an error, and finished
 * replies are sent.
 */
static void
closing(void **state)
{
	struct bench *bench = *state;
	int fd = client(bench), idle = client(bench), last = client(bench);

	put(fd, "keep\n");
	settle(bench);
	put(last, "close\n");
	settle(bench);
	assert_null(bench->control.path);
	assert_string_equal(get(bench, last), OK);
	hung_up(bench, last);
	assert_string_equal(get(bench, fd), ERROR("the machine ended before this was done"));
	hung_up(bench, fd);
	hung_up(bench, idle);
	assert_true(bench->kept[0]->gone);
	command_fail(bench->kept[0], "no client receives this");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words),
		cmocka_unit_test(words_survive_quoting),
		TEST(replies_now),
		TEST(errors),
		TEST(replies_later),
		TEST(a_waiting_client_causes_no_events),
		TEST(client_gone_before_the_reply),
		TEST(slow_reader),
		TEST(lines_too_long),
		TEST(megabytes_of_junk),
		TEST(endless_line),
		TEST(a_thousand_connections),
		TEST(refuses_a_client_if_all_wait),
		TEST(passed_descriptors),
		TEST(passed_sockets_that_linger),
		TEST(no_descriptors),
		TEST(nested),
		TEST(socket_file),
		TEST(existing_files),
		TEST(refused_peers),
		TEST(closing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
