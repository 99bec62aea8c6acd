/* SPDX-License-Identifier: BSD-2-Clause */
/* The blocks of a large file that is replaced are freed by a thread of their own. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"

#define LARGE (17u << 20)

static atomic_int last_closed_by; /* the thread that has closed a file without a name */

/* Takes the place of the C library's. */
int
close(int fd)
{
	struct stat st;

	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && !st.st_nlink)
		atomic_store(&last_closed_by, gettid());
	return (int)syscall(SYS_close, fd);
}

static void
fill(const char *path, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_int_equal(posix_fallocate(fd, 0, (off_t)size), 0);
	close(fd);
}

static void
replace(const char *path)
{
	struct file_replacement file;

	assert_int_equal(file_replace(&file, "thing", path, 0600, ""), 0);
	assert_int_equal(write(file.fd, "new", 3), 3);
	assert_int_equal(file_replace_commit(&file), 0);
	file_replace_end(&file);
}

static void
a_large_file_is_freed_elsewhere(void **state)
{
	char folder[] = "/tmp/minivmm-file-XXXXXX";

	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	fill("file", LARGE);
	atomic_store(&last_closed_by, 0);
	replace("file");
	for (int i = 0; i < 10000 && !atomic_load(&last_closed_by); i++)
		usleep(1000);
	assert_int_not_equal(atomic_load(&last_closed_by), 0);
	assert_int_not_equal(atomic_load(&last_closed_by), gettid());
	/* Small and new files are not worth a thread. */
	atomic_store(&last_closed_by, 0);
	replace("file");
	replace("another");
	assert_int_equal(atomic_load(&last_closed_by), 0);
	unlink("file");
	unlink("another");
	assert_int_equal(rmdir(folder), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_large_file_is_freed_elsewhere) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
