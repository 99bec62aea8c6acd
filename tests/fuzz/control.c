/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the control socket: a client sends any bytes in pieces; replies come at once or later. The
 * client receives a line of JSON for each request, and a closed connection leaves no state.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/json.h"
#include "base/json_read.h"
#include "base/log.h"
#include "control/control.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bench {
	struct vm_clock clock;
	struct loop loop;
	struct control control;
	struct command *later;
	char path[64], received[1 << 20];
	size_t length;
	int client;
};

static struct bench bench;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition))                                                                  \
			abort();                                                                   \
	} while (0)

/* Its words, which can be quoted and parsed again. */
static void
run_echo(void *context, struct command *command, int argc, char **argv)
{
	char *line = NULL, *words[CONTROL_WORDS + 1];
	FILE *out, *reply = command->reply;
	size_t size;
	int count;

	out = open_memstream(&line, &size);
	CHECK(out);
	for (int i = 0; i < argc; i++) {
		fprintf(reply, ",\n\"a%d\":", i);
		json_text(reply, argv[i], strlen(argv[i]));
		control_put_word(out, argv[i]);
		putc(' ', out);
	}
	fclose(out);
	CHECK(!control_words(line, words, &count, NULL) && count == argc);
	for (int i = 0; i < argc; i++)
		CHECK(!strcmp(words[i], argv[i]));
	free(line);
	command_done(command);
}

static void
run_keep(void *context, struct command *command, int argc, char **argv)
{
	CHECK(!bench.later);
	bench.later = command;
}

static void
run_fail(void *context, struct command *command, int argc, char **argv)
{
	fputs(",\"half", command->reply);
	command_fail(command, "no: %s", argv[1]);
}

static const struct command_row commands[] = {
	{ "echo", "echo [WORD...]", "", 0, UINT32_MAX, true, run_echo, NULL },
	{ "k", "k", "", 0, 0, false, run_keep, NULL },
	{ "f", "f WORD", "", 1, 1, false, run_fail, NULL },
	{ 0 },
};

static void
at_end(void)
{
	control_close(&bench.control);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	log_set_level((enum minivmm_level) - 1);
	snprintf(bench.path, sizeof(bench.path), "control-%d.sock", (int)getpid());
	CHECK(!loop_init(&bench.loop, &bench.clock));
	CHECK(!loop_once(&bench.loop, 0));
	CHECK(!control_open(&bench.control, &bench.loop, bench.path, commands, NULL));
	atexit(at_end);
	return 0;
}

static void
turn(unsigned times)
{
	while (times--) {
		ssize_t n = recv(bench.client, bench.received + bench.length,
				 sizeof(bench.received) - bench.length, MSG_DONTWAIT);

		bench.length += n > 0 ? (size_t)n : 0;
		CHECK(!loop_once(&bench.loop, 0));
		if (bench.later && times % 3 == 0) {
			command_done(bench.later);
			bench.later = NULL;
		}
	}
}

static void
check_replies(void)
{
	char *at = bench.received, *end;
	struct json root, ok;

	for (; (end = memchr(at, '\n', bench.length - (size_t)(at - bench.received))); at = end + 1)
		CHECK(!json_open(at, (size_t)(end - at), &root, NULL) &&
		      json_find(&root, "ok", &ok));
	CHECK(at == bench.received + bench.length);
}

/* The first byte is the size of the pieces. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t piece = size ? (size_t)data[0] * data[0] + 1 : 1;

	if (size > 16384)
		return -1;
	strcpy(address.sun_path, bench.path);
	bench.client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(!connect(bench.client, (struct sockaddr *)&address, sizeof(address)));
	bench.length = 0;
	for (size_t at = 1; at < size; at += piece) {
		size_t length = size - at < piece ? size - at : piece;

		if (send(bench.client, data + at, length, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			CHECK(errno == EPIPE || errno == ECONNRESET);
		turn(6);
	}
	shutdown(bench.client, SHUT_WR); /* the loop handles everything that was sent */
	for (unsigned i = 0; bench.control.count; i++) {
		CHECK(i < 200000);
		turn(3);
	}
	turn(9);
	check_replies();
	close(bench.client);
	return 0;
}
