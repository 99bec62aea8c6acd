/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages on stderr, collected for a test. Include it after cmocka.h. */
#ifndef TESTS_SAID_H
#define TESTS_SAID_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct said {
	int file, kept; /* replaces stderr meanwhile; a copy of stderr */
	char text[16384];
};

static void
said_begin(struct said *said)
{
	said->file = memfd_create("said", MFD_CLOEXEC);
	said->kept = dup(STDERR_FILENO);
	assert_true(said->file >= 0 && said->kept >= 0);
	assert_int_equal(dup2(said->file, STDERR_FILENO), STDERR_FILENO);
}

/* Returns the text, truncated if it is long. */
static const char *
said_end(struct said *said)
{
	ssize_t n = pread(said->file, said->text, sizeof(said->text) - 1, 0);

	dup2(said->kept, STDERR_FILENO);
	close(said->kept);
	close(said->file);
	assert_true(n >= 0);
	said->text[n] = '\0';
	return said->text;
}

/* Expects one line that contains all of the words. The last word is NULL. */
static inline void
said_line(const char *text, const char *const *words)
{
	const char *newline = strchr(text, '\n');

	if (!newline || newline[1])
		fail_msg("not one line: %s", text);
	for (; *words; words++)
		if (!strstr(text, *words))
			fail_msg("\"%s\" is not in: %s", *words, text);
}
#define SAID(text, ...) said_line(text, (const char *const[]){ __VA_ARGS__, NULL })

#endif
