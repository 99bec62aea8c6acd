/* SPDX-License-Identifier: BSD-2-Clause */
/* Files of the host: how they are opened, compared and replaced. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"

#include <cmocka.h>

#include "host.h"
#include "said.h"

static const char *vanishes; /* a file that is removed before the next lock */

int
flock(int fd, int operation)
{
	if (vanishes)
		unlink(vanishes);
	vanishes = NULL;
	return (int)syscall(SYS_flock, fd, operation);
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

/* What each function that creates, replaces or opens an output does with what it finds there. */
static int
as_log(const char *path)
{
	return file_open(path, FILE_EMPTY);
}

static int
as_appended_log(const char *path)
{
	return file_open(path, FILE_APPEND);
}

static int
as_report(const char *path)
{
	FILE *file = file_open_report(path);

	return file ? dup(fileno(file)) : -1;
}

static int
as_new(const char *path)
{
	return file_open(path, FILE_NEW);
}

static int
as_own(const char *path)
{
	return file_open_own(path, 0, NULL);
}

static int
as_new_own(const char *path)
{
	return file_open_own(path, O_EXCL, NULL);
}

/* As a replacement: errno of the others for the messages. */
static int
replace_as(const char *path, mode_t mode)
{
	static const struct {
		const char *said;
		int error;
	} errors[] = {
		{ "symbolic link", ELOOP },      { "belongs to another user", EPERM },
		{ "not a regular file", ENXIO }, { "directory", EISDIR },
		{ "Permission denied", EACCES },
	};
	struct file_replacement file;
	struct said said;
	int r, fd = -1;

	said_begin(&said);
	r = file_replace(&file, "thing", path, mode, NULL);
	if (!r && write(file.fd, "new", 3) == 3)
		r = file_replace_commit(&file);
	said_end(&said);
	file_replace_end(&file);
	if (!r)
		fd = open(path, O_RDONLY | O_NOFOLLOW);
	for (size_t i = 0; r && i < sizeof(errors) / sizeof(*errors); i++)
		if (strstr(said.text, errors[i].said)) {
			errno = errors[i].error;
			break;
		}
	return fd;
}

static int
as_replacement(const char *path)
{
	return replace_as(path, 0600);
}

static int
as_shared_replacement(const char *path)
{
	return replace_as(path, 0666);
}

static const struct output {
	const char *name;
	int (*open)(const char *path);
	bool creates; /* fails with EEXIST if there is anything */
	bool replaces;
	mode_t mode; /* of a new file, before the umask */
} outputs[] = {
	{ "log", as_log, false, false, 0666 },
	{ "appended log", as_appended_log, false, false, 0666 },
	{ "report", as_report, false, false, 0666 },
	{ "new file", as_new, true, false, 0666 },
	{ "own file", as_own, false, false, 0600 },
	{ "new own file", as_new_own, true, false, 0600 },
	{ "replacement", as_replacement, false, true, 0600 },
	{ "shared replacement", as_shared_replacement, false, true, 0666 },
};

/* What is at the path. Each makes x from the file "foreign", which nothing may change. */
static void
make_link(void)
{
	assert_int_equal(symlink("foreign", "x"), 0);
}

static void
make_link_to_nothing(void)
{
	assert_int_equal(symlink("nothing", "x"), 0);
}

static void
make_link_to_directory(void)
{
	assert_int_equal(symlink(".", "x"), 0);
}

static void
make_directory(void)
{
	assert_int_equal(mkdir("x", 0700), 0);
}

static void
make_pipe(void)
{
	assert_int_equal(mkfifo("x", 0600), 0);
}

static void
make_nothing(void)
{
}

static void
make_file(void)
{
	close(open("x", O_CREAT | O_WRONLY, 0600));
}

static void
make_mode_640(void)
{
	make_file();
	assert_int_equal(chmod("x", 0640), 0);
}

static const struct {
	const char *name;
	void (*make)(void);
	int error;
	mode_t mode; /* of the file afterwards */
} found[] = {
	{ "nothing", make_nothing, 0, 0 },
	{ "a file of mode 0600", make_file, 0, 0600 },
	{ "a file of mode 0640", make_mode_640, 0, 0640 },
	{ "a link", make_link, ELOOP, 0 },
	{ "a link to nothing", make_link_to_nothing, ELOOP, 0 },
	{ "a link to a directory", make_link_to_directory, ELOOP, 0 },
	{ "a directory", make_directory, EISDIR, 0 },
	{ "a pipe without a reader", make_pipe, ENXIO, 0 },
};

static void
outputs_find(void **state)
{
	mode_t before = umask(022);

	spew("foreign", FILE_NEW, "foreign");
	for (size_t i = 0; i < sizeof(outputs) / sizeof(*outputs); i++)
		for (size_t j = 0; j < sizeof(found) / sizeof(*found); j++) {
			const struct output *output = &outputs[i];
			int error = found[j].error, fd;
			mode_t mode = found[j].mode ? found[j].mode : output->mode & ~022u;
			struct stat st;

			if (output->open == as_report && error == ENXIO)
				continue; /* waits for the reader */
			if (output->open == as_own && error == ENXIO)
				error = 0; /* a pipe that is open for reading has a reader */
			if (output->creates && found[j].make != make_nothing)
				error = EEXIST;
			found[j].make();
			errno = 0;
			fd = output->open("x");
			if ((fd < 0 ? errno : 0) != error)
				fail_msg("%s, where %s is: %s", output->name, found[j].name,
					 strerror(errno));
			if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) &&
			    (st.st_mode & 0777) != mode)
				fail_msg("%s, where %s was: mode %o", output->name, found[j].name,
					 st.st_mode & 0777);
			if (fd >= 0)
				close(fd);
			holds("foreign", "foreign");
			assert_int_equal(access("nothing", F_OK), -1);
			assert_int_equal(remove("x"),
					 fd < 0 && found[j].make == make_nothing ? -1 : 0);
		}
	umask(before);
}

/* An output whose name is a mistake: each keeps what it does not write itself. */
static void
outputs_keep_other_content(void **state)
{
	/* bytes at offset in size zeros; log, text: why one is refused, if it is */
	static const struct {
		const char *bytes;
		unsigned offset, size;
		const char *log, *text;
		bool replaced; /* by a thing */
	} kinds[] = {
		{ "", 0, 0, NULL, NULL, true },
		{ "THING of before", 0, 15, NULL, NULL, true },
		{ "THI", 0, 3, NULL, NULL, false },
		{ "some text", 0, 9, NULL, NULL, false },
		{ "THING", 0, 600, NULL, "a binary file", true },
		{ "raw output", 0, 600, NULL, "a binary file", false },
		{ "MINIVMM\x1a", 0, 8, "a snapshot of minivmm", "a snapshot of minivmm", false },
		{ "QFI\xfb", 0, 8, "a qcow2 disk image", "a qcow2 disk image", false },
		{ "\x55\xaa", 510, 1024, "a disk with a boot sector", "a disk with a boot sector",
		  false },
		{ "HdrS", 514, 1024, "a Linux kernel", "a Linux kernel", false },
		{ "\x7f"
		  "ELF",
		  0, 64, "an ELF file", "an ELF file", false },
	};
	struct file_replacement file;
	struct said said;
	char text[128];
	struct why why;
	int fd, r;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		for (int how = FILE_EMPTY; how <= FILE_APPEND; how++) {
			const char *kept = how == FILE_EMPTY  ? kinds[i].log
					   : how == FILE_TEXT ? kinds[i].text
							      : NULL;
			struct stat st;

			fd = open("x", O_RDWR | O_CREAT | O_TRUNC, 0600);
			assert_int_equal(ftruncate(fd, kinds[i].size), 0);
			assert_true(pwrite(fd, kinds[i].bytes, strlen(kinds[i].bytes),
					   kinds[i].offset) >= 0);
			said_begin(&said);
			r = file_replace_check("thing", "x", "THING");
			said_end(&said);
			assert_int_equal(r == 0, kinds[i].replaced);
			said_begin(&said);
			r = file_replace(&file, "thing", "x", 0600, "THING");
			said_end(&said);
			file_replace_end(&file);
			assert_int_equal(r, kinds[i].replaced ? 0 : -STATUS_IO);
			if (r)
				SAID(said.text, "cannot write thing x: it exists and is not a "
						"thing; remove it or name another file");
			said_begin(&said);
			r = file_replace(&file, "map", "x", 0666, NULL);
			said_end(&said);
			file_replace_end(&file);
			assert_int_equal(r, kinds[i].text ? -STATUS_IO : 0);
			close(fd);
			fd = file_open("x", (enum file_how)how);
			assert_int_equal(fd >= 0, !kept);
			if (kept) {
				assert_int_equal(errno, EEXIST);
				file_why("x", EEXIST, &why);
				snprintf(text, sizeof(text),
					 "it is %s; remove it or name another file", kept);
				assert_string_equal(why.text, text);
			}
			assert_int_equal(stat("x", &st), 0);
			assert_int_equal(st.st_size,
					 kept || how == FILE_APPEND ? kinds[i].size : 0);
			if (fd >= 0)
				close(fd);
			unlink("x");
		}
}

/* In a sticky directory, other users' files and second names are refused. Needs root. */
static void
outputs_in_a_sticky_directory(void **state)
{
	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir("sticky", 0700), 0);
	assert_int_equal(chmod("sticky", 01777), 0);
	for (size_t i = 0; i < sizeof(outputs) / sizeof(*outputs); i++) {
		const struct output *output = &outputs[i];
		int fd;

		if (output->creates)
			continue;
		close(open("sticky/x", O_CREAT | O_WRONLY, 0666));
		assert_int_equal(chown("sticky/x", 65534, 65534), 0);
		errno = 0;
		assert_int_equal(output->open("sticky/x"), -1);
		/* EACCES: fs.protected_regular is set. */
		if (errno != EPERM && errno != EACCES)
			fail_msg("%s: %s", output->name, strerror(errno));
		assert_int_equal(chown("sticky/x", 0, 0), 0);
		assert_int_equal(link("sticky/x", "second"), 0);
		fd = output->open("sticky/x");
		assert_int_equal(fd >= 0, output->replaces);
		close(fd);
		assert_int_equal(unlink("second") || unlink("sticky/x"), 0);
	}
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

/* The process that has created a file removes it when its start fails: nobody continues with a file
 * that has no name. */
static void
a_file_that_vanishes_is_not_opened(void **state)
{
	int fd = file_open_own("own", 0, NULL);

	assert_true(fd >= 0);
	close(fd);
	vanishes = "own";
	assert_int_equal(file_open_own("own", 0, NULL), -1);
	assert_int_equal(errno, EBUSY);
	fd = file_open_own("own", 0, NULL);
	assert_true(fd >= 0);
	assert_int_equal(access("own", F_OK), 0);
	close(fd);
}

/* Who has a file open in one way, and opens it in the other. */
static void
outputs_are_locked(void **state)
{
	static const struct {
		int (*first)(const char *path), (*second)(const char *path);
		int error;
	} cases[] = {
		{ as_log, as_log, EBUSY },
		{ as_appended_log, as_log, EBUSY },
		{ as_log, as_report, EBUSY },
		{ as_log, as_appended_log, 0 },
		{ as_appended_log, as_appended_log, 0 },
		{ as_own, as_own, EBUSY },
		{ as_own, as_log, EBUSY },
		{ as_log, as_own, EBUSY },
	};
	struct why why;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		int first = cases[i].first("locked"), second;

		assert_true(first >= 0);
		assert_int_equal(write(first, "kept", 4), 4);
		errno = 0;
		second = cases[i].second("locked");
		assert_int_equal(second < 0 ? errno : 0, cases[i].error);
		holds("locked", "kept");
		if (second < 0) {
			assert_int_equal(file_why("locked", errno = EBUSY, &why), -1);
			assert_string_equal(why.text, "another device of this machine uses it; "
						      "stop it or name another file");
		}
		close(second);
		close(first);
		assert_int_equal(unlink("locked"), 0);
	}
}

/* A file that another process truncates is written at its end, not behind a hole. */
static void
logs_are_appended(void **state)
{
	int fd = file_open("log", FILE_EMPTY);

	assert_int_equal(write(fd, "early", 5), 5);
	assert_int_equal(truncate("log", 0), 0);
	assert_int_equal(write(fd, "late", 4), 4);
	holds("log", "late");
	close(fd);
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
		cmocka_unit_test(outputs_find),
		cmocka_unit_test(outputs_keep_other_content),
		cmocka_unit_test(outputs_in_a_sticky_directory),
		cmocka_unit_test(a_replaced_file_keeps_its_owner),
		cmocka_unit_test(a_replaced_file_has_no_other_rights),
		cmocka_unit_test(a_file_that_vanishes_is_not_opened),
		cmocka_unit_test(outputs_are_locked),
		cmocka_unit_test(logs_are_appended),
	};

	return cmocka_run_group_tests(tests, host_enter_folder, host_leave_folder);
}
