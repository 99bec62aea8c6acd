/* SPDX-License-Identifier: BSD-2-Clause */
/* Small files of text, in a folder of the test. */
#ifndef TESTS_FILE_BENCH_H
#define TESTS_FILE_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#include <cmocka.h>

#include "unit/host.h"

/* Writes a text to a file. */
static inline void
spew(const char *path, enum file_how how, const char *text)
{
	int fd = file_open(path, how);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

/* Fails if the file contains another text. */
static inline void
holds(const char *path, const char *text)
{
	char bytes[64] = "";
	int fd = file_open(path, FILE_READ);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, bytes, sizeof(bytes) - 1), strlen(text));
	close(fd);
	assert_string_equal(bytes, text);
}

#endif
