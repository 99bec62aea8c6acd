/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the host: how they are opened, compared and replaced. */
#include "unit/file_bench.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include "unit/said.h"

static void
opens(void **state)
{
	assert_int_equal(file_open("a", FILE_READ), -1);
	assert_int_equal(errno, ENOENT);
	spew("a", FILE_NEW, "one");
	assert_int_equal(file_open("a", FILE_NEW), -1);
	assert_int_equal(errno, EEXIST);
	spew("a", FILE_APPEND, "two");
	holds("a", "onetwo");
	spew("a", FILE_EMPTY, "3");
	holds("a", "3");
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
	file = file_open_report(name, NULL);
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
	before = names();
	/* Aborted: the old file is unchanged. */
	assert_int_equal(file_replace(&file, "thing", "old", 0600, NULL), 0);
	assert_int_equal(write(file.fd, "new", 3), 3);
	file_replace_end(&file);
	holds("old", "old");
	assert_int_equal(names(), before);
	assert_int_equal(file_replace(&file, "thing", "./old", 0600, NULL), 0);
	assert_int_equal(write(file.fd, "new", 3), 3);
	holds("old", "old");
	assert_int_equal(file_replace_commit(&file), 0);
	assert_true(file.done);
	file_replace_end(&file);
	holds("old", "new");
	assert_int_equal(names(), before);
	assert_int_equal(file_replace(&file, "thing", "fresh", 0600, NULL), 0);
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
		r = file_replace(&file, "thing", cases[i].path, 0600, NULL);
		said_end(&said);
		file_replace_end(&file);
		assert_int_equal(r, -STATUS_IO);
		SAID(said.text, cases[i].said);
	}
	/* Another process has created the file meanwhile. */
	assert_int_equal(file_replace(&file, "thing", "taken", 0600, NULL), 0);
	spew("taken", FILE_NEW, "theirs");
	said_begin(&said);
	assert_int_equal(file_replace_commit(&file), -STATUS_IO);
	said_end(&said);
	file_replace_end(&file);
	SAID(said.text,
	     "cannot write thing taken: another process has created that file meanwhile");
	holds("taken", "theirs");
}

/* A replaced file keeps its owner and group if it can, otherwise only the owner's mode. */
static void
a_replaced_file_keeps_its_owner(void **state)
{
	static const struct {
		uid_t directory, file;
		mode_t mode;
		uid_t owner;
		mode_t mode_then;
	} cases[] = {
		{ 0, 0, 0664, 0, 0664 },
		{ 0, 65534, 0664, 0, 0600 }, /* a trap: another user has made it */
		{ 65534, 65534, 0664, 65534, 0664 },
		{ 65534, 65534, 06755, 65534, 0755 },
		{ 65534, 65533, 0664, 0, 0600 },
	};
	struct file_replacement file;
	struct stat st;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir("owned", 0777), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		close(open("owned/x", O_CREAT | O_WRONLY, 0600));
		assert_int_equal(chown("owned", cases[i].directory, 0), 0);
		assert_int_equal(chown("owned/x", cases[i].file, cases[i].file), 0);
		assert_int_equal(chmod("owned/x", cases[i].mode), 0);
		assert_int_equal(file_replace(&file, "thing", "owned/x", 0600, NULL), 0);
		assert_int_equal(file_replace_commit(&file), 0);
		file_replace_end(&file);
		assert_int_equal(stat("owned/x", &st), 0);
		assert_int_equal(st.st_uid, cases[i].owner);
		assert_int_equal(st.st_gid, cases[i].owner);
		assert_int_equal(st.st_mode & 07777, cases[i].mode_then);
		assert_int_equal(unlink("owned/x"), 0);
	}
}

/* An ACL of the directory gives nobody more rights than the mode of the replaced file. */
static void
a_replaced_file_has_no_other_rights(void **state)
{
	/* u::rw-, u:65533:r--, g::r--, mask::r--, o::--- */
	static const struct {
		uint32_t version;
		struct {
			uint16_t tag, rights;
			uint32_t id;
		} entries[5];
	} acl = { 2,
		  { { 1, 6, UINT32_MAX },
		    { 2, 4, 65533 },
		    { 4, 4, UINT32_MAX },
		    { 16, 4, UINT32_MAX },
		    { 32, 0, UINT32_MAX } } };
	struct file_replacement file;
	struct stat st;

	assert_int_equal(mkdir("shared", 0700), 0);
	close(open("shared/x", O_CREAT | O_WRONLY, 0600));
	assert_int_equal(chmod("shared/x", 0640), 0);
	if (setxattr("shared", "system.posix_acl_default", &acl, sizeof(acl), 0))
		skip();
	assert_int_equal(file_replace(&file, "thing", "shared/x", 0600, NULL), 0);
	assert_int_equal(file_replace_commit(&file), 0);
	file_replace_end(&file);
	assert_int_equal(stat("shared/x", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(getxattr("shared/x", "system.posix_acl_access", NULL, 0), -1);
	/* A new file has the ACL of the directory, and a mode that masks it. */
	assert_int_equal(file_replace(&file, "thing", "shared/y", 0600, NULL), 0);
	assert_int_equal(file_replace_commit(&file), 0);
	file_replace_end(&file);
	assert_int_equal(stat("shared/y", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
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
		cmocka_unit_test(a_replaced_file_keeps_its_owner),
		cmocka_unit_test(a_replaced_file_has_no_other_rights),
	};

	return cmocka_run_group_tests(tests, host_enter_folder, host_leave_folder);
}
