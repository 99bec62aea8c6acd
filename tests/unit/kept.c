/* SPDX-License-Identifier: BSD-2-Clause */
/* Tests machine/kept.c: a process keeps guest memory, and its child finds what it has changed. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "machine/kept.h"

/* Two regions: the second begins in the middle of a word of the bitmap. */
#define FIRST (100 * PAGE_SIZE)
#define SECOND (300 * PAGE_SIZE)
#define PAGES ((FIRST + SECOND) / PAGE_SIZE)

static struct memory memory;
static struct kept_memory kept;

static int
set_up(void **state)
{
	memory = (struct memory){ .count = 0 };
	if (memory_add(&memory, 0, FIRST) || memory_add(&memory, 0x10000000, SECOND))
		return -1;
	for (uint64_t page = 0; page < PAGES; page += 3) /* the others are not touched */
		memset(memory_page(&memory, page), (int)page % 255 + 1, PAGE_SIZE);
	kept_open(&kept);
	return 0;
}

static int
tear_down(void **state)
{
	kept_close(&kept);
	memory_free(&memory);
	return 0;
}

/* Pages that the child changes: touched before, not touched, at the ends of regions and words. */
static const uint64_t changed[] = { 0, 1, 63, 64, 98, 99, 100, 101, 127, 128, 200, 201, 398, 399 };

static bool
is_changed(uint64_t page)
{
	for (size_t i = 0; i < sizeof(changed) / sizeof(*changed); i++)
		if (changed[i] == page)
			return true;
	return false;
}

/* In the child. Returns the number of a check that has failed, or 0. */
static int
check_changes(bool with_pagemap)
{
	uint64_t pages[PAGES / 64 + 1] = { 0 };
	uint8_t old[PAGE_SIZE], expected[PAGE_SIZE];
	struct why why;

	for (size_t i = 0; i < sizeof(changed) / sizeof(*changed); i++)
		memory_page(&memory, changed[i])[i * 200] ^= 0xff;
	memory_page(&memory, 210)[1] = 211; /* touched, and the same as before */
	memory_page(&memory, 220)[0] = 0;   /* not touched before, and still zero */
	if (!with_pagemap) {
		close(kept.pagemap);
		kept.pagemap = -1;
	}
	if (kept_check(&kept, &memory, &why) || kept_find_changes(&kept, &memory, pages, &why))
		return 1;
	for (uint64_t page = 0; page < PAGES; page++)
		if ((pages[page / 64] >> page % 64 & 1) != is_changed(page))
			return 2;
	for (uint64_t page = 0; page < PAGES; page++) {
		memset(expected, page % 3 ? 0 : (int)page % 255 + 1, PAGE_SIZE);
		if (kept_read(&kept, memory_page(&memory, page), old, PAGE_SIZE, &why) ||
		    memcmp(old, expected, PAGE_SIZE))
			return 3;
	}
	/* Discarded: it is zero here, and was not. */
	madvise(memory_page(&memory, 150), PAGE_SIZE, MADV_DONTNEED);
	if (kept_find_changes(&kept, &memory, pages, &why) || !(pages[150 / 64] >> 150 % 64 & 1))
		return 4;
	return 0;
}

static void
run_child(bool with_pagemap)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(check_changes(with_pagemap));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void
finds_changes(void **state)
{
	run_child(true);
}

static void
finds_changes_without_pagemap(void **state)
{
	run_child(false);
}

/* Neither the descriptor nor a child keeps the memory of a process that has ended. */
static void
reports_the_end(void **state)
{
	int go[2], result[2];
	char answer = 0;
	pid_t keeper;

	assert_int_equal(pipe(go) | pipe(result), 0);
	keeper = fork();
	if (!keeper) {
		kept_close(&kept);
		kept_open(&kept);
		if (!fork()) {
			struct why why = { .text = "" };

			close(go[1]);
			answer = kept_check(&kept, &memory, &why) ? 'x' : 'a';
			if (write(result[1], &answer, 1) != 1 || read(go[0], &answer, 1))
				_exit(1);
			answer =
			    kept_check(&kept, &memory, &why) &&
				    !strcmp(why.text, "the process that kept its memory was killed")
				? 'b'
				: 'x';
			_exit(write(result[1], &answer, 1) != 1);
		}
		close(go[1]);
		pause();
	}
	assert_int_equal(read(result[0], &answer, 1), 1);
	assert_int_equal(answer, 'a');
	kill(keeper, SIGKILL);
	assert_int_equal(waitpid(keeper, NULL, 0), keeper);
	close(go[1]);
	assert_int_equal(read(result[0], &answer, 1), 1);
	assert_int_equal(answer, 'b');
	close(go[0]);
	close(result[0]);
	close(result[1]);
}

static void
reports_what_is_not_open(void **state)
{
	const struct kept_memory none = { .mem = -1, .pagemap = -1, .error = ENOENT };
	uint64_t pages[PAGES / 64 + 1] = { 0 };
	struct why why;

	assert_int_equal(kept_find_changes(&none, &memory, pages, &why), -1);
	assert_string_equal(why.text,
			    "/proc/self/mem could not be opened: No such file or directory");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(finds_changes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(finds_changes_without_pagemap, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reports_the_end, set_up, tear_down),
		cmocka_unit_test_setup_teardown(reports_what_is_not_open, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
