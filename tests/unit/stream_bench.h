/* SPDX-License-Identifier: BSD-2-Clause */
/* A stream on a real loop; the test controls stdin, stdout and stderr. */
#ifndef TESTS_STREAM_BENCH_H
#define TESTS_STREAM_BENCH_H

/* Before cmocka.h, which defines another fail(). */
#include "base/log.h"
#include "stream/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit/host.h"

#define RECORD_SIZE (2u << 20)

struct bench {
	struct vm_clock clock;
	struct loop loop;
	struct stream_hub hub;
	struct stream stream;
	int kept[3];                 /* duplicates of the process's descriptors 0, 1 and 2 */
	int log;                     /* memfd in the place of stderr */
	char folder[64], input[256]; /* input: the text of the option */
	volatile bool interrupted;
	unsigned readable, writable, quits;
	struct stream_record record; /* of the output */
};

static struct bench bench;

static const struct config_place in_config = { "x.ini", 7 };

static bool
bench_readable(struct stream *stream)
{
	bench.readable++;
	return true;
}

static bool
bench_writable(struct stream *stream)
{
	bench.writable++;
	return true;
}

static void
bench_quit(void *context)
{
	bench.quits++;
}

static int
bench_setup(void **state)
{
	memset(&bench, 0, sizeof(bench));
	signal(SIGPIPE, SIG_IGN); /* as minivmm does */
	strcpy(bench.folder, "/tmp/minivmm-stream-XXXXXX");
	assert_non_null(mkdtemp(bench.folder));
	for (int fd = 0; fd < 3; fd++)
		bench.kept[fd] = fcntl(fd, F_DUPFD_CLOEXEC, 10);
	bench.log = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(dup2(bench.log, 2), 2);
	assert_int_equal(loop_init(&bench.loop, &bench.clock), 0);
	loop_quiet(&bench.loop, false);
	bench.hub = (struct stream_hub){ .loop = &bench.loop, .quit = bench_quit };
	bench.record = (struct stream_record){ .bytes = malloc(RECORD_SIZE), .size = RECORD_SIZE };
	assert_non_null(bench.record.bytes);
	pthread_mutex_init(&bench.record.lock, NULL);
	return 0;
}

static int
bench_teardown(void **state)
{
	char command[128];

	bench.interrupted = true;
	stream_close(&bench.stream, &bench.interrupted);
	stream_free(&bench.stream);
	free(bench.record.bytes);
	loop_free(&bench.loop);
	for (int fd = 0; fd < 3; fd++) {
		dup2(bench.kept[fd], fd);
		close(bench.kept[fd]);
	}
	close(bench.log);
	snprintf(command, sizeof(command), "rm -rf %s", bench.folder);
	return system(command);
}

/* All log lines since the test began. */
static inline const char *
bench_log(void)
{
	static char text[16384];
	ssize_t n = pread(bench.log, text, sizeof(text) - 1, 0);

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static inline void
assert_logged(const char *text)
{
	if (!strstr(bench_log(), text))
		fail_msg("\"%s\" was not logged, but: %s", text, bench_log());
}

/* A path in the test's folder. */
static inline const char *
bench_path(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", bench.folder, name);
	return path;
}

/* "KIND:/path/name" */
static inline const char *
bench_spec(const char *kind, const char *name)
{
	static char spec[256];

	snprintf(spec, sizeof(spec), "%s:%s", kind, bench_path(name));
	return spec;
}

static inline int
bench_init(const char *output, const char *input)
{
	int status = stream_init(&bench.stream, &bench.hub, "serial0",
				 &(struct stream_option){ "output", output, in_config },
				 &(struct stream_option){ "input", input, in_config });

	snprintf(bench.input, sizeof(bench.input), "%s", input ? input : "");
	bench.stream.readable = bench_readable;
	bench.stream.writable = bench_writable;
	stream_set_record(&bench.stream, &bench.record);
	return status;
}

static inline void
bench_open(const char *output, const char *input)
{
	assert_int_equal(bench_init(output, input), 0);
	assert_int_equal(stream_open(&bench.stream, false), 0);
	stream_start(&bench.stream);
}

static inline void
bench_close(void)
{
	stream_close(&bench.stream, &bench.interrupted);
	stream_free(&bench.stream);
}

/* Runs the loop until no source is ready. */
static inline void
settle(void)
{
	for (int quiet = 0; quiet < 3; quiet++)
		for (int i = 0; i < 20; i++)
			assert_int_equal(loop_once(&bench.loop, i < 19 ? 0 : 2), 0);
}

/* Runs the loop until the condition holds, for five seconds at most. */
#define until(condition)                                                                           \
	do {                                                                                       \
		uint64_t end_ = clock_host() + 5000000000u;                                        \
		while (!(condition) && clock_host() < end_)                                        \
			assert_int_equal(loop_once(&bench.loop, 10), 0);                           \
		assert_true(condition);                                                            \
	} while (0)

/* Replaces fd 0 or 1 by one end of a new pipe; returns the other end. */
static inline int
pipe_at(int fd)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(dup2(ends[fd], fd), fd);
	close(ends[fd]);
	return ends[!fd];
}

static inline void
assert_reads(int fd, const char *text)
{
	char bytes[8192];
	size_t length = 0, wanted = strlen(text);

	assert_true(wanted < sizeof(bytes));
	while (length < wanted) {
		ssize_t n = read(fd, bytes + length, sizeof(bytes) - length);

		if (n <= 0)
			break;
		length += (size_t)n;
	}
	assert_int_equal(length, wanted);
	assert_memory_equal(bytes, text, wanted);
}

static inline void
assert_takes(const char *text)
{
	char bytes[8192];
	size_t length = stream_read(&bench.stream, bytes, sizeof(bytes));

	assert_int_equal(length, strlen(text));
	assert_memory_equal(bytes, text, length);
}

static inline void
put(const char *text)
{
	assert_int_equal(stream_write(&bench.stream, text, strlen(text)), strlen(text));
}

/* Returns this many bytes, malloced, in which a lost or moved part shows. */
static inline char *
pattern(size_t length)
{
	char *bytes = malloc(length);

	assert_non_null(bytes);
	for (size_t i = 0; i < length; i++)
		bytes[i] = (char)(i * 7 + i / 251);
	return bytes;
}

/* The word after "before" in the log. */
static inline const char *
logged_after(const char *before)
{
	static char word[128];
	const char *at = strstr(bench_log(), before);

	assert_non_null(at);
	sscanf(at + strlen(before), "%127s", word);
	return word;
}

/* Bytes pass unchanged in both directions: no echo, no translation of newlines. */
static inline void
converse(int fd)
{
	put("a\n\r\x01\x03\x04z");
	until(!bench.stream.output_length);
	assert_reads(fd, "a\n\r\x01\x03\x04z");
	assert_int_equal(write(fd, "b\n\r\x03\x04y", 6), 6);
	until(stream_readable(&bench.stream) == 6);
	assert_takes("b\n\r\x03\x04y");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_setup, bench_teardown)

#endif
