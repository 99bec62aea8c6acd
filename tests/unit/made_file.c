/* SPDX-License-Identifier: BSD-2-Clause */
/* What a start has done to files is undone: no more, and no less. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

#include <cmocka.h>

#include "host.h"

static void
spew(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* The size of a file, or -1. */
static int
size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? -1 : (int)st.st_size;
}

static int
as_whole(const char *path, struct made_files *made)
{
	return file_open_own(path, 0, made);
}

static int
as_output(const char *path, struct made_files *made)
{
	return file_open_output(path, FILE_EMPTY, made);
}

static int
as_appended(const char *path, struct made_files *made)
{
	return file_open_output(path, FILE_APPEND, made);
}

static int
as_report(const char *path, struct made_files *made)
{
	return file_open_report_fd(path, made);
}

/* before: the content before the start, NULL: there is no file. written: by the start. after: the
 * size after the start has failed, or -1. */
static const struct {
	int (*open)(const char *path, struct made_files *made);
	const char *before, *written;
	int after;
} cases[] = {
	{ as_whole, NULL, "", -1 },         { as_whole, NULL, "text", -1 },
	{ as_whole, "", "text", 0 },        { as_whole, "12345", "text", 5 },
	{ as_output, NULL, "", -1 },        { as_output, NULL, "text", 4 },
	{ as_output, "", "", 0 },           { as_output, "", "text", 4 },
	{ as_appended, NULL, "", -1 },      { as_appended, NULL, "text", 4 },
	{ as_appended, "", "", 0 },         { as_report, NULL, "", -1 },
	{ as_report, NULL, "text", 4 },     { as_report, "", "", 0 },
	{ as_appended, "1234", "text", 8 },
};
#define CASES (sizeof(cases) / sizeof(*cases))

static void
a_start_is_undone(void **state)
{
	struct made_files made = { NULL };
	char name[16];

	for (size_t i = 0; i < CASES; i++) {
		int fd;

		snprintf(name, sizeof(name), "file%zu", i);
		if (cases[i].before)
			spew(name, cases[i].before);
		fd = cases[i].open(name, &made);
		assert_true(fd >= 0);
		assert_int_equal(write(fd, cases[i].written, strlen(cases[i].written)),
				 strlen(cases[i].written));
		close(fd);
	}
	made_files_undo(&made);
	made_files_undo(&made); /* a signal can come while it works */
	made_files_end(&made);
	for (size_t i = 0; i < CASES; i++) {
		snprintf(name, sizeof(name), "file%zu", i);
		if (size_of(name) != cases[i].after)
			fail_msg("case %zu: %d", i, size_of(name));
		unlink(name);
	}
}

static void
a_start_that_succeeds_is_not(void **state)
{
	unsigned before = host_descriptors();
	struct made_files made = { NULL };
	int whole, output;

	whole = as_whole("whole", &made);
	output = as_output("output", &made);
	assert_int_equal(host_descriptors(), before + 5); /* one directory */
	made_files_end(&made);
	made_files_undo(&made);
	assert_int_equal(host_descriptors(), before + 2);
	close(whole);
	close(output);
	assert_int_equal(size_of("whole"), 0);
	assert_int_equal(size_of("output"), 0);
}

/* The files belong to somebody else now, or are used by somebody else. */
static void
other_files_stay(void **state)
{
	struct made_files made = { NULL };
	int fd = as_whole("replaced", &made), other;

	close(fd);
	spew("new", "of another");
	assert_int_equal(rename("new", "replaced"), 0);
	close(as_output("shared", &made));
	other = file_open("shared", FILE_APPEND);
	assert_true(other >= 0);
	made_files_undo(&made);
	made_files_end(&made);
	assert_int_equal(size_of("replaced"), 10);
	assert_int_equal(write(other, "more", 4), 4);
	close(other);
	assert_int_equal(size_of("shared"), 4);
}

/* Nobody begins to use a file that will be removed. */
static void
files_stay_locked(void **state)
{
	struct made_files made = { NULL };
	int fd;

	close(as_whole("locked", &made));
	assert_int_equal(file_open_own("locked", 0, NULL), -1);
	assert_int_equal(errno, EBUSY);
	made_files_end(&made);
	fd = file_open_own("locked", 0, NULL);
	assert_true(fd >= 0);
	close(fd);
}

/* A file that cannot be removed again is not created: each number of descriptors that are left. */
static void
all_or_nothing(void **state)
{
	struct made_files made = { NULL };
	struct rlimit limit, few;
	int first = dup(0), fd = -1;

	close(first);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	for (int left = 0; fd < 0; left++) {
		few = (struct rlimit){ (rlim_t)(first + left), limit.rlim_max };
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		fd = as_whole("few", &made);
		assert_true(fd >= 0 || errno == EMFILE);
		assert_int_equal(size_of("few"), fd >= 0 ? 0 : -1);
		assert_true(left < 8);
	}
	setrlimit(RLIMIT_NOFILE, &limit);
	close(fd);
	made_files_undo(&made);
	made_files_end(&made);
	assert_int_equal(size_of("few"), -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_start_is_undone), cmocka_unit_test(a_start_that_succeeds_is_not),
		cmocka_unit_test(other_files_stay),  cmocka_unit_test(files_stay_locked),
		cmocka_unit_test(all_or_nothing),
	};

	return cmocka_run_group_tests(tests, host_enter_folder, host_leave_folder);
}
