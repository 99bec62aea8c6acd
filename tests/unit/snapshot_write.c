/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes snapshot files and reads them back; targets that cannot be written. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "snapshot/image.h"
#include "snapshot/reader.h"
#include "snapshot_sample.h"

/* Each test runs in an empty folder, with stderr in an unnamed file. */
struct bench {
	char folder[64];
	int stderr_saved, stderr_file;
};

static int
enter(void **state)
{
	struct bench *bench = calloc(1, sizeof(*bench));

	assert_non_null(bench);
	strcpy(bench->folder, "/tmp/minivmm-unit-XXXXXX");
	assert_non_null(mkdtemp(bench->folder));
	assert_int_equal(chdir(bench->folder), 0);
	bench->stderr_file = open("/tmp", O_RDWR | O_TMPFILE | O_APPEND, 0600);
	bench->stderr_saved = dup(STDERR_FILENO);
	assert_true(bench->stderr_file >= 0 && dup2(bench->stderr_file, STDERR_FILENO) >= 0);
	*state = bench;
	return 0;
}

static int
leave(void **state)
{
	struct bench *bench = *state;
	struct dirent *entry;
	DIR *folder = opendir(".");

	dup2(bench->stderr_saved, STDERR_FILENO);
	while (folder && (entry = readdir(folder)))
		remove(entry->d_name);
	closedir(folder);
	assert_int_equal(chdir("/tmp"), 0);
	assert_int_equal(rmdir(bench->folder), 0);
	close(bench->stderr_file);
	close(bench->stderr_saved);
	free(bench);
	return 0;
}

/* Expects a message with this text since the last call. */
static void
expect_message(void **state, const char *text)
{
	struct bench *bench = *state;
	char line[1024] = "";
	ssize_t n = pread(bench->stderr_file, line, sizeof(line) - 1, 0);

	if (n < 0 || !strstr(line, text))
		fail_msg("expected \"%s\", got \"%s\"", text, line);
	assert_int_equal(ftruncate(bench->stderr_file, 0), 0);
}

static unsigned
names_in(const char *path)
{
	DIR *folder = opendir(path);
	unsigned count = 0;

	assert_non_null(folder);
	while (readdir(folder))
		count++;
	closedir(folder);
	return count - 2; /* . and .. */
}

/* Writes a snapshot as for a paused machine, but without a machine. */
static int
write_to(const char *path, const struct memory *memory)
{
	struct snapshot_header header = { .id = { 1 } };
	struct snapshot_meta meta = { 0 };
	struct output output;
	struct image image = { 0 };
	uint64_t *pages = calloc(memory_words(memory) + 1, sizeof(*pages));
	int failed;

	sample_sections(&meta);
	memory_maybe_nonzero(memory, pages);
	failed = output_open(&output, path);
	if (!failed)
		failed = image_init(&image, &output, memory);
	if (!failed)
		failed = output_resize(&output, SNAPSHOT_MEMORY_OFFSET + memory->size);
	if (!failed)
		failed = image_write(&image, pages);
	if (!failed)
		failed = image_commit(&image, &meta, &header, NULL);
	image_free(&image);
	output_close(&output);
	snapshot_meta_free(&meta);
	free(pages);
	return failed;
}

static struct memory
memory_of(uint64_t size)
{
	struct memory memory = { 0 };

	assert_int_equal(memory_add(&memory, SAMPLE_GPA, size), 0);
	return memory;
}

struct runs {
	char text[512];
};

static void
add_run(void *context, gpa_t gpa, uint64_t size)
{
	struct runs *runs = context;
	size_t length = strlen(runs->text);

	snprintf(runs->text + length, sizeof(runs->text) - length, "%llx+%llx ",
		 (unsigned long long)gpa, (unsigned long long)size);
}

/* Opens and verifies a snapshot, and expects these runs of data. */
static void
expect_file(const char *path, const char *expected)
{
	struct snapshot snapshot;
	struct runs runs = { "" };

	assert_int_equal(snapshot_open(&snapshot, path), 0);
	assert_int_equal(snapshot_verify(&snapshot), 0);
	assert_int_equal(snapshot_runs(&snapshot, add_run, &runs), 0);
	assert_string_equal(runs.text, expected);
	snapshot_close(&snapshot);
}

/* Two regions with a partial last chunk; data at the ends of pages, chunks and regions. */
static void
pages_and_holes(void **state)
{
	struct memory memory = memory_of(0x23000);
	uint8_t *first = memory.regions[0].host, *second, byte;
	struct snapshot snapshot;
	struct stat status;

	assert_int_equal(memory_add(&memory, 0x100000, 0x801000), 0);
	second = memory.regions[1].host;
	first[0] = 1;
	first[0xffff] = 2;
	first[0x10000] = 3;
	first[0x22fff] = 4;
	second[0x5000] = 5;
	second[0x800fff] = 6;
	assert_int_equal(write_to("a", &memory), 0);
	expect_file("a", "1000+1000 10000+2000 23000+1000 105000+1000 900000+1000 ");
	assert_int_equal(stat("a", &status), 0);
	assert_true(status.st_size > 0x824000);
	assert_true(status.st_blocks * 512 < 0x20000); /* zero pages take no space */

	assert_int_equal(snapshot_open(&snapshot, "a"), 0);
	assert_int_equal(snapshot_read(&snapshot, 0xffff, &byte, 1), 0);
	assert_int_equal(byte, 0);
	assert_int_equal(snapshot_read(&snapshot, 0x10fff, &byte, 1), 0);
	assert_int_equal(byte, 2);
	assert_int_equal(snapshot_read(&snapshot, 0x900fff, &byte, 1), 0);
	assert_int_equal(byte, 6);
	assert_int_equal(snapshot_read(&snapshot, 0x901000, &byte, 1), -STATUS_SNAPSHOT);
	assert_int_equal(snapshot_read(&snapshot, 0xfff, &byte, 1), -STATUS_SNAPSHOT);
	snapshot_close(&snapshot);
	memory_free(&memory);
}

/* snapshot_verify finds a flipped bit of memory, in data and in holes; snapshot_open does not. */
static void
damaged_memory(void **state)
{
	static const off_t where[] = { 0, 0x8000, 0x12fff };
	struct memory memory = memory_of(0x13000);
	struct snapshot snapshot;

	memory.regions[0].host[0] = 0x55;
	assert_int_equal(write_to("a", &memory), 0);
	for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
		int fd = open("a", O_RDWR);
		off_t at;
		uint8_t byte;

		assert_int_equal(snapshot_open(&snapshot, "a"), 0);
		at = (off_t)snapshot.header.memory_offset + where[i];
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_int_equal(snapshot_verify(&snapshot), -STATUS_SNAPSHOT);
		expect_message(state, where[i] < 0x10000
					  ? "memory from 0x1000 to 0x10fff does not match"
					  : "memory from 0x11000 to 0x13fff does not match");
		byte ^= 0x10;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_int_equal(snapshot_verify(&snapshot), 0);
		snapshot_close(&snapshot);
		close(fd);
	}
	memory_free(&memory);
}

/* Replaces the file from which the memory is mapped. */
static void
over_its_own_memory(void **state)
{
	struct memory memory = memory_of(0x20000), restored = { 0 };
	struct snapshot snapshot;

	memset(memory.regions[0].host, 0xaa, 0x20000);
	assert_int_equal(write_to("a", &memory), 0);
	assert_int_equal(snapshot_open(&snapshot, "a"), 0);
	assert_int_equal(memory_add_private(&restored, SAMPLE_GPA, 0x20000, snapshot.fd,
					    snapshot.header.memory_offset),
			 0);
	memset(restored.regions[0].host + 0x3000, 0, 0x1000);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(write_to("a", &restored), 0);
		expect_file("a", "1000+3000 5000+1c000 ");
		assert_int_equal(restored.regions[0].host[0x1ffff], 0xaa);
	}
	assert_int_equal(names_in("."), 1);
	snapshot_close(&snapshot);
	memory_free(&restored);
	memory_free(&memory);
}

static void
mode_and_links(void **state)
{
	struct memory memory = memory_of(0x1000);
	mode_t mask = umask(022);
	struct stat status;

	assert_int_equal(write_to("a", &memory), 0);
	umask(mask);
	assert_int_equal(stat("a", &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	/* Its owner has opened it to a group. */
	assert_int_equal(chmod("a", 0640), 0);
	memory.regions[0].host[7] = 7;
	assert_int_equal(write_to("a", &memory), 0);
	assert_int_equal(stat("a", &status), 0);
	assert_int_equal(status.st_mode & 0777, 0640);
	assert_int_equal(symlink("a", "link"), 0);
	assert_int_equal(write_to("link", &memory), -STATUS_IO);
	expect_message(state,
		       "cannot write snapshot link: it is a symbolic link; name the file itself");
	expect_file("a", "1000+1000 ");
	memory_free(&memory);
}

static void
targets_refused(void **state)
{
	struct memory memory = memory_of(0x1000);
	struct stat status;

	assert_int_equal(mkdir("folder", 0700), 0);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(write_to("folder", &memory), -STATUS_IO);
	expect_message(state, "cannot write snapshot folder: it is a directory");
	assert_int_equal(write_to("folder/", &memory), -STATUS_IO);
	expect_message(state, "it is a directory");
	assert_int_equal(write_to("new/", &memory), -STATUS_IO);
	expect_message(state, "cannot write snapshot new/: name a file");
	assert_int_equal(write_to("", &memory), -STATUS_IO);
	expect_message(state, "name a file");
	assert_int_equal(write_to("fifo", &memory), -STATUS_IO);
	expect_message(state, "cannot write snapshot fifo: it exists and is not a regular file");
	assert_int_equal(write_to("/dev/null", &memory), -STATUS_IO);
	expect_message(state, "it exists and is not a regular file");
	assert_int_equal(stat("/dev/null", &status), 0);
	assert_true(S_ISCHR(status.st_mode));
	assert_int_equal(write_to("none/a", &memory), -STATUS_IO);
	expect_message(
	    state, "cannot write snapshot none/a: creating a file in its directory: No such file");
	assert_int_equal(write_to("fifo/a", &memory), -STATUS_IO);
	expect_message(state, "cannot write snapshot fifo/a: checking it: Not a directory");
	assert_int_equal(names_in("."), 2);
	assert_int_equal(names_in("folder"), 0);
	memory_free(&memory);
}

/* No write permission for the file, then for the folder. A child gives up root for that. */
static void
no_permission(void **state)
{
	struct memory memory = memory_of(0x1000);
	int status;
	pid_t child;

	assert_int_equal(write_to("a", &memory), 0);
	assert_int_equal(chmod("a", 0444), 0);
	assert_int_equal(chmod(".", 0755), 0);
	child = fork();
	if (!child) {
		bool root = !geteuid();

		if (root && (setgid(65534) || setuid(65534)))
			_exit(9);
		if (write_to("a", &memory) != -STATUS_IO)
			_exit(1);
		if (!root && chmod(".", 0555))
			_exit(2);
		_exit(write_to("b", &memory) == -STATUS_IO ? 0 : 3);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(chmod(".", 0755), 0);
	assert_int_equal(status, 0);
	expect_message(state, "cannot write snapshot a: it exists: Permission denied");
	expect_file("a", "");
	assert_int_equal(names_in("."), 1);
	memory_free(&memory);
}

/* The file cannot grow, from the first byte or at the last pages. */
static void
no_room(void **state)
{
	static const rlim_t limits[] = { 0, 0x1000, 0x2000, 0x40000 };
	struct memory memory = memory_of(0x40000);
	int status;

	memset(memory.regions[0].host, 1, 0x1000);
	assert_int_equal(write_to("a", &memory), 0);
	memset(memory.regions[0].host, 1, 0x40000);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		pid_t child = fork();

		if (!child) {
			struct rlimit limit = { limits[i], limits[i] };

			signal(SIGXFSZ, SIG_IGN);
			close(STDERR_FILENO); /* a file, which cannot grow either */
			if (setrlimit(RLIMIT_FSIZE, &limit))
				_exit(9);
			_exit(write_to("a", &memory) == -STATUS_IO ? 0 : 1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
		expect_file("a", "1000+1000 ");
		assert_int_equal(names_in("."), 1);
	}
	memory_free(&memory);
}

static void
not_snapshots(void **state)
{
	struct snapshot snapshot;
	int fd;

	assert_int_equal(snapshot_open(&snapshot, "none"), -STATUS_SNAPSHOT);
	expect_message(state, "cannot open snapshot none: No such file");
	snapshot_close(&snapshot);
	assert_int_equal(snapshot_open(&snapshot, "."), -STATUS_SNAPSHOT);
	expect_message(state, ". is not a snapshot: it is a directory");
	snapshot_close(&snapshot);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(snapshot_open(&snapshot, "fifo"), -STATUS_SNAPSHOT);
	expect_message(state, "fifo is not a snapshot: it is not a regular file");
	snapshot_close(&snapshot);
	fd = open("raw", O_RDWR | O_CREAT, 0600);
	for (off_t size = 0; size < 0x4000; size += 0x1fff) {
		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_equal(snapshot_open(&snapshot, "raw"), -STATUS_SNAPSHOT);
		expect_message(state, "raw is not a snapshot: name a file that --save");
		snapshot_close(&snapshot);
	}
	close(fd);
}

/* A client of the control socket can hand over any descriptor. */
static void
no_terminal(void **state)
{
	int fd = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct output output;

	assert_true(fd >= 0);
	assert_int_equal(output_open_fd(&output, fd, "-"), -STATUS_USAGE);
	expect_message(state, "cannot write snapshot -: it is a terminal; redirect it");
	output_close(&output);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pages_and_holes, enter, leave),
		cmocka_unit_test_setup_teardown(damaged_memory, enter, leave),
		cmocka_unit_test_setup_teardown(over_its_own_memory, enter, leave),
		cmocka_unit_test_setup_teardown(mode_and_links, enter, leave),
		cmocka_unit_test_setup_teardown(targets_refused, enter, leave),
		cmocka_unit_test_setup_teardown(no_permission, enter, leave),
		cmocka_unit_test_setup_teardown(no_room, enter, leave),
		cmocka_unit_test_setup_teardown(not_snapshots, enter, leave),
		cmocka_unit_test_setup_teardown(no_terminal, enter, leave),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
