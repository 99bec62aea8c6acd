/* SPDX-License-Identifier: BSD-2-Clause */
/* Outputs: each way to open one, with each thing that may be at its path. */
#include "unit/file_bench.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "unit/said.h"

static const char *vanishes; /* a file that is removed before the next lock */

int
flock(int fd, int operation)
{
	if (vanishes)
		unlink(vanishes);
	vanishes = NULL;
	return (int)syscall(SYS_flock, fd, operation);
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
	return file_open_report_fd(path, NULL);
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
	vanishes = "own";
	assert_int_equal(as_appended_log("own"), -1);
	assert_int_equal(errno, EBUSY);
	fd = as_appended_log("own");
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
		cmocka_unit_test(outputs_find),
		cmocka_unit_test(outputs_keep_other_content),
		cmocka_unit_test(outputs_in_a_sticky_directory),
		cmocka_unit_test(a_file_that_vanishes_is_not_opened),
		cmocka_unit_test(outputs_are_locked),
		cmocka_unit_test(logs_are_appended),
	};

	return cmocka_run_group_tests(tests, host_enter_folder, host_leave_folder);
}
