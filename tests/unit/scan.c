/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The scan for pages that may contain data: it never misses one, and does not touch unused pages.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "machine/memory.h"

#define PAGES 10000u /* more than one read of the page map */

static bool
zero(const uint8_t *page)
{
	return !page[0] && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

/* Counts the pages that the scan returns, in steps of that number of pages. */
static unsigned
scan_all(const struct memory_region *region, uint32_t step, uint8_t *pointed)
{
	struct memory_scan *scan = malloc(sizeof(*scan));
	uint32_t pages = (uint32_t)(region->size / PAGE_SIZE), found = 0;

	assert_non_null(scan);
	memory_scan_open(scan, region);
	for (uint32_t at = 0; at < pages; at += step) {
		uint32_t count = pages - at < step ? pages - at : step;
		uint32_t bits = memory_scan_pages(scan, (uint64_t)at * PAGE_SIZE, count);

		assert_true(count == 32 || bits >> count == 0);
		for (uint32_t i = 0; i < count; i++)
			found += pointed[at + i] = bits >> i & 1;
	}
	memory_scan_close(scan);
	free(scan);
	return found;
}

static const uint32_t steps[] = { 1, 16, 31, 32 };
#define STEPS (sizeof(steps) / sizeof(steps[0]))

/* Some random pages, the first and the last. */
static unsigned
touch(uint8_t *host, uint8_t *touched)
{
	unsigned count = 0;

	memset(touched, 0, PAGES);
	touched[0] = touched[PAGES - 1] = 1;
	for (int i = 0; i < 500; i++)
		touched[rand() % PAGES] = 1;
	for (uint32_t i = 0; i < PAGES; i++)
		if (touched[i]) {
			host[(size_t)i * PAGE_SIZE + (size_t)rand() % PAGE_SIZE] = 1;
			count++;
		}
	return count;
}

static void
anonymous(void **state)
{
	uint8_t touched[PAGES], pointed[PAGES];
	struct memory memory = { 0 };
	unsigned count;

	srand(2);
	assert_int_equal(memory_add(&memory, 0x1000, (uint64_t)PAGES * PAGE_SIZE), 0);
	madvise(memory.regions[0].host, memory.size, MADV_NOHUGEPAGE);
	assert_int_equal(scan_all(&memory.regions[0], 16, pointed), 0);
	count = touch(memory.regions[0].host, touched);
	for (size_t i = 0; i < STEPS; i++) {
		assert_int_equal(scan_all(&memory.regions[0], steps[i], pointed), count);
		assert_memory_equal(pointed, touched, PAGES);
	}
	memory_free(&memory);
}

/* Data and holes of the file below, and pages written over both. */
static void
private_file(void **state)
{
	uint8_t touched[PAGES], pointed[PAGES];
	struct memory memory = { 0 };
	struct stat before, after;
	int fd = memfd_create("snapshot", MFD_CLOEXEC);
	uint8_t *host;
	unsigned in_file = 0;

	srand(3);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)(PAGES + 1) * PAGE_SIZE), 0);
	for (uint32_t i = 0; i < PAGES; i += 1 + (uint32_t)rand() % 50, in_file++)
		assert_int_equal(pwrite(fd, "x", 1, (off_t)(i + 1) * PAGE_SIZE + 77), 1);
	assert_int_equal(memory_add_private(&memory, 0, (uint64_t)PAGES * PAGE_SIZE, fd, PAGE_SIZE),
			 0);
	close(fd); /* the mapping has its own copy */
	fd = memory.regions[0].fd;
	host = memory.regions[0].host;
	assert_int_equal(fstat(fd, &before), 0);
	for (size_t i = 0; i < STEPS; i++)
		assert_int_equal(scan_all(&memory.regions[0], steps[i], pointed), in_file);
	touch(host, touched);
	assert_true(scan_all(&memory.regions[0], 16, pointed) > in_file);
	/*
	 * Reading the pages that the scan returns fills no hole of the file; reading all pages
	 * would.
	 */
	for (uint32_t i = 0; i < PAGES; i++)
		if (pointed[i])
			assert_false(zero(host + (size_t)i * PAGE_SIZE));
	assert_int_equal(fstat(fd, &after), 0);
	assert_true(after.st_blocks < before.st_blocks + 2 * 500 * 8);
	for (uint32_t i = 0; i < PAGES; i++)
		if (!pointed[i])
			assert_true(zero(host + (size_t)i * PAGE_SIZE));
	memory_free(&memory);
}

static void
shared_file(void **state)
{
	uint8_t touched[PAGES], pointed[PAGES];
	char path[] = "/tmp/minivmm-unit-XXXXXX";
	struct memory memory = { 0 };
	int fd = mkstemp(path);
	unsigned count;

	srand(4);
	assert_true(fd >= 0);
	assert_int_equal(memory_add_file(&memory, 0, (uint64_t)PAGES * PAGE_SIZE, path, 0,
					 (uint64_t)PAGES * PAGE_SIZE, NULL),
			 0);
	unlink(path);
	count = touch(memory.regions[0].host, touched);
	/* The page map no longer has them; the file does. */
	madvise(memory.regions[0].host, memory.size, MADV_DONTNEED);
	for (size_t i = 0; i < STEPS; i++)
		assert_true(scan_all(&memory.regions[0], steps[i], pointed) >= count);
	for (uint32_t i = 0; i < PAGES; i++)
		assert_true(pointed[i] || !touched[i]);
	memory_free(&memory);
	close(fd);
}

/* A file without SEEK_DATA: all pages may contain data. */
static void
file_without_seek_data(void **state)
{
	uint8_t pointed[PAGES];
	struct memory memory = { 0 };
	int ends[2];

	assert_int_equal(memory_add(&memory, 0, (uint64_t)PAGES * PAGE_SIZE), 0);
	assert_int_equal(pipe(ends), 0);
	memory.regions[0].fd = ends[0];
	assert_int_equal(scan_all(&memory.regions[0], 16, pointed), PAGES);
	close(ends[1]);
	memory_free(&memory);
}

/* Words of the bitmap whose pages lie in one region, in two, in three, or partly behind the last.
 */
static void
words_of_the_bitmap(void **state)
{
	static const uint64_t sizes[] = { 70, 1, 3, 200 }; /* pages */
	struct memory memory = { 0 };
	uint64_t page = 0, pages = 0;

	for (uint32_t i = 0; i < 4; i++) {
		pages += sizes[i];
		assert_int_equal(memory_add(&memory, (uint64_t)i << 30, sizes[i] * PAGE_SIZE), 0);
	}
	for (size_t word = 0; word < memory_words(&memory); word++) {
		struct memory_word part = { .word = word };

		while (memory_word_next(&memory, &part)) {
			assert_int_equal(part.first, page);
			for (uint64_t mask = part.mask; mask; mask >>= 1, page++) {
				assert_true(mask & 1);
				assert_int_equal(page / 64, word);
				assert_ptr_equal(part.host + (page - part.first) * PAGE_SIZE,
						 memory_page(&memory, page));
			}
		}
	}
	assert_int_equal(page, pages);
	memory_free(&memory);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(anonymous),           cmocka_unit_test(private_file),
		cmocka_unit_test(shared_file),         cmocka_unit_test(file_without_seek_data),
		cmocka_unit_test(words_of_the_bitmap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
