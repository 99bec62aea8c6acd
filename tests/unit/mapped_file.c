/* SPDX-License-Identifier: BSD-2-Clause */
/* The file that is mapped at an address. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cli/cli.h"

#include <cmocka.h>

#define PAGE 4096u

static void
finds_the_file_of_an_address(void **state)
{
	char directory[] = "/tmp/minivmm-mapped-XXXXXX", name[64], path[128], *real;
	uint8_t *map, *anonymous;
	int fd;

	assert_non_null(mkdtemp(directory));
	real = realpath(directory, NULL);
	snprintf(name, sizeof(name), "%s/a file", real);
	fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 4 * PAGE), 0);
	/* Holes on both sides, so that no other mapping is adjacent. */
	map = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	anonymous = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(map != MAP_FAILED && anonymous != MAP_FAILED);
	assert_ptr_equal(mmap(map + PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0),
			 map + PAGE);
	/* The length of the file does not matter. */
	for (int length = 4; length >= 0; length -= 4) {
		const uintptr_t inside[] = { PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE - 1 };
		const uintptr_t outside[] = { 0, PAGE - 1, 3 * PAGE, 4 * PAGE - 1 };

		assert_int_equal(ftruncate(fd, length * (off_t)PAGE), 0);
		for (int i = 0; i < 4; i++) {
			assert_true(mapped_file((uintptr_t)map + inside[i], path, sizeof(path)));
			assert_string_equal(path, name);
			assert_false(mapped_file((uintptr_t)map + outside[i], path, sizeof(path)));
		}
	}
	assert_true(mapped_file((uintptr_t)map + PAGE, path, 8));
	assert_memory_equal(path, name, 7);
	assert_int_equal(path[7], '\0');
	assert_false(mapped_file((uintptr_t)anonymous, path, sizeof(path)));
	assert_false(mapped_file(0, path, sizeof(path)));
	assert_false(mapped_file(UINTPTR_MAX, path, sizeof(path)));
	unlink(name);
	assert_true(mapped_file((uintptr_t)map + PAGE, path, sizeof(path)));
	assert_memory_equal(path, name, strlen(name)); /* " (deleted)" follows */
	munmap(map, 4 * PAGE);
	munmap(anonymous, PAGE);
	close(fd);
	rmdir(directory);
	free(real);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_file_of_an_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
