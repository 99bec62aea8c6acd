/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages whose reader is slow: a line that stderr has taken in part is not continued by the next
 * one. Lines that wait for the end of a stop. */
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#include <cmocka.h>

#include "unit/said.h"
#include "unit/seed.h"

#define ROUNDS 10
#define LINES 200    /* more than a terminal takes */
#define LENGTH 900u  /* of the longest filler of a line */
#define TEXT 1000000 /* bytes, more than all lines */

static const char end[] = "minivmm: end\r\n";

/* Adds what arrives to the text. */
static void
read_more(int fd, char *text, size_t size)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	while (poll(&ready, 1, 10) == 1) {
		size_t length = strlen(text);
		ssize_t n = read(fd, text + length, size - 1 - length);

		if (n <= 0)
			return;
		text[length + (size_t)n] = '\0';
	}
}

/* Checks that each line is complete, or cut and not continued. */
static void
check(char *text)
{
	unsigned lines = 0;
	char *line;

	while ((line = strsep(&text, "\n")) && *line) {
		assert_memory_equal(line, "minivmm: ", 9);
		assert_null(strstr(line + 9, "minivmm: "));
		lines++;
	}
	assert_true(lines > 2 && lines < LINES);
}

/* A terminal takes a part of a line when its buffer is nearly full. */
static void
cut_line(void **state)
{
	int before = dup(STDERR_FILENO), master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	char filler[LENGTH + 1], *text = malloc(TEXT);
	uint64_t seed = random_seed();
	int slave;

	assert_true(text && master >= 0 && !grantpt(master) && !unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	assert_true(slave >= 0);
	memset(filler, 'z', LENGTH);
	filler[LENGTH] = '\0';
	log_machine(true);
	for (int round = 0; round < ROUNDS; round++) {
		*text = '\0';
		dup2(slave, STDERR_FILENO);
		for (int i = 0; i < LINES; i++)
			log_line(MINIVMM_WARNING, NULL, "%s", filler + random_below(&seed, LENGTH));
		do { /* a line that finds no room is dropped, too */
			log_ready("minivmm: end\n", 13, 0);
			read_more(master, text, TEXT);
		} while (!strstr(text, end));
		dup2(before, STDERR_FILENO);
		check(text);
	}
	close(master);
	close(slave);
	close(before);
	free(text);
}

/* Lines that are held are written later, in their order; errors are not held. */
static void
held_lines(void **state)
{
	static struct log_held held;
	static struct said said;
	char many[256];

	said_begin(&said);
	log_hold(&held);
	log_line(MINIVMM_INFO, "a", "one");
	log_line(MINIVMM_WARNING, "b", "two");
	log_hold(NULL);
	assert_string_equal(said_end(&said), "");
	said_begin(&said);
	log_hold(&held);
	log_line(MINIVMM_ERROR, "c", "three");
	log_hold(NULL);
	log_line(MINIVMM_INFO, "d", "four");
	log_release(&held);
	log_release(&held);
	assert_string_equal(said_end(&said),
			    "minivmm: c: three\nminivmm: d: four\nminivmm: a: one\n"
			    "minivmm: warning: b: two\n");
	memset(many, 'x', sizeof(many) - 1);
	many[sizeof(many) - 1] = '\0';
	said_begin(&said);
	log_hold(&held);
	for (int i = 0; i < 32; i++)
		log_line(MINIVMM_INFO, NULL, "%s", many);
	log_hold(NULL);
	assert_in_range(held.length, LOG_HELD / 2, LOG_HELD);
	log_release(&held);
	assert_int_equal(strlen(said_end(&said)), 32 * (strlen("minivmm: ") + sizeof(many)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_line),
		cmocka_unit_test(held_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
