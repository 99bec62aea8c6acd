/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Discarded memory: each kind of mapping reads as zeros afterwards, and the dirty log records the
 * change.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "machine/memory.h"

#include <cmocka.h>

#define PAGES 8u
#define SIZE (PAGES * PAGE_SIZE)
#define GPA 0x10000u

static struct memory memory;
static char folder[64], name[80];

static int
setup(void **state)
{
	strcpy(folder, "/tmp/discard.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(name, sizeof(name), "%s/ram", folder);
	return 0;
}

static int
teardown(void **state)
{
	memory_free(&memory);
	unlink(name);
	rmdir(folder);
	return 0;
}

static void
fill(void)
{
	uint8_t bytes[SIZE];
	uint64_t written[2] = { 0 };

	memset(bytes, 0x5a, sizeof(bytes));
	assert_int_equal(memory_write(&memory, GPA, bytes, sizeof(bytes)), 0);
	memory_take_written(&memory, written);
}

/* Expects zeros in these pages and other bytes in all others. */
static void
assert_zero(uint32_t first, uint32_t count)
{
	uint8_t bytes[SIZE];

	assert_int_equal(memory_read(&memory, GPA, bytes, sizeof(bytes)), 0);
	for (uint32_t i = 0; i < SIZE; i++)
		assert_int_equal(
		    bytes[i], i / PAGE_SIZE >= first && i / PAGE_SIZE < first + count ? 0 : 0x5a);
}

static void
give_back(void)
{
	uint64_t written[2] = { 0 };

	assert_int_equal(memory_discard(&memory, GPA + 2 * PAGE_SIZE, 3 * PAGE_SIZE), 0);
	assert_zero(2, 3);
	memory_take_written(&memory, written);
	assert_int_equal(written[0], 0x1c);
}

static bool
resident(uint32_t page)
{
	uint8_t in = 0;

	assert_int_equal(mincore(memory.regions[0].host + page * PAGE_SIZE, PAGE_SIZE, &in), 0);
	return in & 1;
}

static void
anonymous(void **state)
{
	assert_int_equal(memory_add(&memory, GPA, SIZE), 0);
	fill();
	assert_true(resident(2));
	assert_int_equal(memory_discard(&memory, GPA + 2 * PAGE_SIZE, PAGE_SIZE), 0);
	assert_false(resident(2));
	assert_true(resident(1));
	assert_true(resident(3));
	fill();
	give_back();
}

/* The file keeps its blocks: a guest's write must not find the disk full. */
static void
file(void **state)
{
	struct stat before, after;

	assert_int_equal(memory_add_file(&memory, GPA, SIZE, name, 0, SIZE, NULL), 0);
	fill();
	msync(memory.regions[0].host, SIZE, MS_SYNC);
	stat(name, &before);
	give_back();
	stat(name, &after);
	assert_int_equal(after.st_size, SIZE);
	assert_int_equal(after.st_blocks, before.st_blocks);
}

/* As in a restored machine: the file's contents must not return, and the file must not change. */
static void
copy_on_write(void **state)
{
	uint8_t bytes[SIZE], now[SIZE];
	uint64_t pages[2] = { 0 };
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	memset(bytes, 0x5a, sizeof(bytes));
	memset(bytes + 3 * PAGE_SIZE, 0, PAGE_SIZE); /* was zero before */
	assert_int_equal(write(fd, bytes, SIZE), SIZE);
	assert_int_equal(memory_add_private(&memory, GPA, SIZE, fd, 0), 0);
	give_back();
	if (memory_private_pages(&memory, pages))
		assert_int_equal(pages[0], 0x14); /* was not copied */
	assert_int_equal(pread(fd, now, SIZE, 0), SIZE);
	assert_memory_equal(now, bytes, SIZE);
	close(fd);
}

static void
several_regions(void **state)
{
	uint64_t written[2] = { 0 };
	uint8_t bytes[PAGE_SIZE], zeros[PAGE_SIZE] = { 0 };

	assert_int_equal(memory_add(&memory, GPA, SIZE), 0);
	assert_int_equal(memory_add(&memory, GPA + SIZE, SIZE), 0);
	fill();
	memset(memory.regions[1].host, 0x5a, SIZE);
	assert_int_equal(memory_discard(&memory, GPA + SIZE - PAGE_SIZE, 2 * PAGE_SIZE), 0);
	assert_zero(PAGES - 1, 1);
	assert_int_equal(memory_read(&memory, GPA + SIZE, bytes, PAGE_SIZE), 0);
	assert_memory_equal(bytes, zeros, PAGE_SIZE);
	assert_int_equal(memory_read(&memory, GPA + SIZE + PAGE_SIZE, bytes, PAGE_SIZE), 0);
	assert_int_equal(bytes[0], 0x5a);
	memory_take_written(&memory, written);
	assert_int_equal(written[0], 3u << (PAGES - 1));
}

/* A range that is not whole pages of memory is refused completely. */
static void
refused(void **state)
{
	uint64_t written[2] = { 0 };

	assert_int_equal(memory_add(&memory, GPA, SIZE), 0);
	fill();
	assert_int_equal(memory_discard(&memory, GPA + 1, PAGE_SIZE), -1);
	assert_int_equal(memory_discard(&memory, GPA, PAGE_SIZE - 1), -1);
	assert_int_equal(memory_discard(&memory, GPA - PAGE_SIZE, 2 * PAGE_SIZE), -1);
	assert_int_equal(memory_discard(&memory, GPA, SIZE + PAGE_SIZE), -1);
	assert_int_equal(memory_discard(&memory, GPA, -(uint64_t)PAGE_SIZE), -1);
	assert_int_equal(memory_discard(&memory, -(uint64_t)PAGE_SIZE, 2 * PAGE_SIZE), -1);
	assert_int_equal(memory_discard(&memory, GPA, 0), 0);
	assert_zero(0, 0);
	memory_take_written(&memory, written);
	assert_int_equal(written[0], 0);
}

int
main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(anonymous),       TEST(file),    TEST(copy_on_write),
		TEST(several_regions), TEST(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
