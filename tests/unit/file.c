/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the host: how they are opened, compared and replaced. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#include <cmocka.h>

#include "said.h"

static int
in_a_folder(void **state)
{
	char folder[] = "/tmp/minivmm-file-XXXXXX";

	return !mkdtemp(folder) || chdir(folder);
}

static int
removed(void **state)
{
	char *folder = getcwd(NULL, 0), command[256];
	int r;

	if (!folder || chdir("/"))
		return -1;
	snprintf(command, sizeof(command), "rm -r '%s'", folder);
	r = system(command);
	free(folder);
	return r;
}

static void
spew(const char *path, enum file_how how, const char *text)
{
	int fd = file_open(path, how);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static void
holds(const char *path, const char *text)
{
	char bytes[64] = "";
	int fd = file_open(path, FILE_READ);

	assert_true(fd >= 0);
	assert_int_equal(read(fd, bytes, sizeof(bytes) - 1), strlen(text));
	close(fd);
	assert_string_equal(bytes, text);
}

static void
opens(void **state)
{
	bool made;
	int fd;

	assert_int_equal(file_open("a", FILE_READ), -1);
	assert_int_equal(errno, ENOENT);
	spew("a", FILE_NEW, "one");
	assert_int_equal(file_open("a", FILE_NEW), -1);
	assert_int_equal(errno, EEXIST);
	spew("a", FILE_APPEND, "two");
	holds("a", "onetwo");
	spew("a", FILE_EMPTY, "3");
	holds("a", "3");
	fd = file_open_or_make("a", &made);
	assert_true(fd >= 0 && !made);
	close(fd);
	fd = file_open_or_make("b", &made);
	assert_true(fd >= 0 && made);
	close(fd);
	/* The pipe has no reader: opening it fails instead of waiting. */
	assert_int_equal(mkfifo("pipe", 0600), 0);
	assert_int_equal(file_open("pipe", FILE_EMPTY), -1);
	assert_int_equal(errno, ENXIO);
}

static void
descriptors(void **state)
{
	char name[16], all[4096], *folder = getcwd(NULL, 0);
	FILE *file;
	int fd;

	assert_int_equal(file_descriptor("/dev/stdout"), 1);
	assert_int_equal(file_descriptor("/dev/fd/12"), 12);
	assert_int_equal(file_descriptor("/proc/self/fd/3"), 3);
	assert_int_equal(file_descriptor("/dev/fd/"), -1);
	assert_int_equal(file_descriptor("/dev/fd/1x"), -1);
	assert_int_equal(file_descriptor("/dev/fd/1234567"), -1);
	assert_int_equal(file_descriptor("stdout"), -1);
	/* A descriptor keeps its offset. */
	fd = file_open("c", FILE_EMPTY);
	assert_int_equal(write(fd, "begin ", 6), 6);
	snprintf(name, sizeof(name), "/dev/fd/%d", fd);
	file = file_open_report(name);
	assert_non_null(file);
	fputs("end", file);
	fclose(file);
	holds("c", "begin end");
	file_name(fd, all, sizeof(all));
	assert_memory_equal(all, folder, strlen(folder));
	assert_string_equal(all + strlen(folder), "/c");
	file_name(fd, name, 5);
	assert_memory_equal(name, all, 4);
	assert_int_equal(name[4], '\0');
	file_name(-1, name, sizeof(name));
	assert_string_equal(name, "");
	close(fd);
	free(folder);
}

static bool
same(const char *a, const char *b)
{
	const struct file_id one = file_identify(a), other = file_identify(b);

	return file_same(&one, &other);
}

static void
compares_files(void **state)
{
	struct file_id id;
	int fd;

	spew("d", FILE_NEW, "");
	spew("e", FILE_NEW, "");
	assert_int_equal(symlink("d", "link"), 0);
	assert_true(same("d", "./d"));
	assert_true(same("d", "link"));
	assert_false(same("d", "e"));
	assert_false(same("d", "nothing"));
	assert_true(same("nothing", "./nothing"));
	assert_false(same("nothing", "nothing2"));
	assert_false(same("nothing", "/nothing"));
	fd = file_open("d", FILE_READ);
	id = file_identify_fd(fd);
	close(fd);
	assert_true(id.exists && id.regular && !id.size);
	assert_false(file_identify(".").regular);
}

static unsigned
names(void)
{
	FILE *list = popen("ls -A | wc -l", "r");
	unsigned count = 0;

	assert_non_null(list);
	assert_int_equal(fscanf(list, "%u", &count), 1);
	pclose(list);
	return count;
}

static void
replaces(void **state)
{
	struct file_replacement file;
	unsigned before;

	spew("old", FILE_NEW, "old");
	assert_int_equal(symlink("old", "to-old"), 0);
	assert_int_equal(symlink("fresh", "to-fresh"), 0);
	before = names();
	/* Aborted: the old file is unchanged. */
	assert_int_equal(file_replace(&file, "thing", "old"), 0);
	assert_int_equal(write(file.fd, "new", 3), 3);
	file_replace_end(&file);
	holds("old", "old");
	assert_int_equal(names(), before);
	/* Through a symbolic link, which is kept. */
	assert_int_equal(file_replace(&file, "thing", "to-old"), 0);
	assert_int_equal(write(file.fd, "new", 3), 3);
	holds("old", "old");
	assert_int_equal(file_replace_commit(&file), 0);
	assert_true(file.done);
	file_replace_end(&file);
	holds("old", "new");
	assert_int_equal(names(), before);
	assert_int_equal(file_replace(&file, "thing", "to-fresh"), 0);
	assert_int_equal(file_replace_commit(&file), 0);
	file_replace_end(&file);
	holds("fresh", "");
	assert_int_equal(names(), before + 1);
}

static void
refuses_to_replace(void **state)
{
	static const struct {
		const char *path, *said;
	} cases[] = {
		{ "folder", "cannot write thing folder: it is a directory; name a file" },
		{ "folder/", "cannot write thing folder/: it is a directory; name a file" },
		{ "fifo", "cannot write thing fifo: it exists and is not a regular file" },
		{ "none/x",
		  "cannot write thing none/x: creating a file in its directory: No such file" },
	};
	struct file_replacement file;
	struct said said;
	int r;

	assert_int_equal(mkdir("folder", 0700), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		said_begin(&said);
		r = file_replace(&file, "thing", cases[i].path);
		said_end(&said);
		file_replace_end(&file);
		assert_int_equal(r, -STATUS_IO);
		SAID(said.text, cases[i].said);
	}
	/* Another process has created the file meanwhile. */
	assert_int_equal(file_replace(&file, "thing", "taken"), 0);
	spew("taken", FILE_NEW, "theirs");
	said_begin(&said);
	assert_int_equal(file_replace_commit(&file), -STATUS_IO);
	said_end(&said);
	file_replace_end(&file);
	SAID(said.text,
	     "cannot write thing taken: another process has created that file meanwhile");
	holds("taken", "theirs");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(opens),
		cmocka_unit_test(descriptors),
		cmocka_unit_test(compares_files),
		cmocka_unit_test(replaces),
		cmocka_unit_test(refuses_to_replace),
	};

	return cmocka_run_group_tests(tests, in_a_folder, removed);
}
