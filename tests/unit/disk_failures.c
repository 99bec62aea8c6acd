/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk in layers after failed calls, on a full host, and after its process was killed. */
#include "unit/disk_bench.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "unit/host.h"

/* Data flushed before a failure is readable, and so is data flushed after the failure has ended. */
static void
test_failures(void **state)
{
	static uint8_t before[BYTES];
	struct disk disk;
	uint8_t cluster[DISK_CLUSTER];
	const struct iovec piece = { cluster, sizeof(cluster) };
	unsigned failed = 0;

	make_raw();
	for (int n = 0; n < 60; n++) {
		open_disk(&disk, "", false);
		memcpy(before, model, sizeof(before));
		unlink("o");
		assert_int_equal(disk_create_overlay(&disk, "o"), 0);
		for (unsigned i = 0; i < 5; i++)
			one(&disk, false);
		assert_int_equal(disk_flush(&disk), 0);
		/* One call fails from here on: a write or a flush. */
		*(n % 3 ? &fail_after : &fail_sync) = n % 20;
		for (unsigned i = 0; i < 6; i++) {
			uint32_t c = pick(BYTES / DISK_CLUSTER);
			uint64_t length = n % 2 ? DISK_CLUSTER : 1024;

			memset(cluster, (int)i, sizeof(cluster));
			if (disk_write(&disk, &piece, 1, length, (uint64_t)c * DISK_CLUSTER)) {
				failed++;
				assert_int_equal(errno, EIO);
				assert_int_equal(disk_write(&disk, &piece, 1, length,
							    (uint64_t)c * DISK_CLUSTER),
						 0);
			}
			memcpy(model + c * DISK_CLUSTER, cluster, length);
			if (disk_flush(&disk)) {
				failed++;
				assert_int_equal(errno, EIO);
				assert_int_equal(disk_flush(&disk), 0);
			}
		}
		fail_after = fail_sync = -1;
		assert_null(disk.claims);
		assert_same(&disk);
		disk_destroy(&disk);
		open_disk(&disk, "", false);
		assert_int_equal(disk_open_overlay(&disk, "o"), 0);
		assert_same(&disk);
		disk_destroy(&disk);
		memcpy(model, before, sizeof(model));
	}
	assert_true(failed > 20);
}

/* A freeze fails at some call, then one succeeds: its layers contain everything. */
static void
test_freeze_failures(void **state)
{
	unsigned failed = 0;

	make_raw();
	for (int n = 0; n < 8; n++) {
		static uint8_t before[BYTES];
		char *stem, name[] = "o0";
		struct disk disk;

		memcpy(before, model, sizeof(before));
		name[1] += (char)n;
		open_disk(&disk, "", false);
		assert_int_equal(disk_create_overlay(&disk, name), 0);
		for (unsigned i = 0; i < 20; i++)
			one(&disk, false);
		fail_after = n;
		stem = disk_stem(&disk, name);
		if (disk_freeze(&disk, stem, false))
			failed++;
		fail_after = -1;
		free(stem);
		assert_same(&disk);
		if (n % 2) /* with and without writes of the machine in between */
			one(&disk, false);
		free(freeze(&disk));
		one(&disk, false);
		assert_same(&disk);
		disk_destroy(&disk);
		memcpy(model, before, sizeof(model));
	}
	assert_true(failed >= 2);
}

/* A full file system, if one can be made here: errors, and the data flushed before. */
static void
test_full(void **state)
{
	uint8_t cluster[DISK_CLUSTER];
	const struct iovec piece = { cluster, sizeof(cluster) };
	unsigned done = 0, refused = 0;
	struct rlimit limit = { 20 * DISK_CLUSTER, RLIM_INFINITY };
	struct disk disk;

	make_raw();
	unlink("o");
	open_disk(&disk, "", false);
	assert_int_equal(disk_create_overlay(&disk, "o"), 0);
	/* A file that cannot grow behaves like a full disk. */
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (uint64_t c = 0; c < BYTES / DISK_CLUSTER; c++) {
		memset(cluster, (int)c, sizeof(cluster));
		if (disk_write(&disk, &piece, 1, c % 2 ? 512 : DISK_CLUSTER, c * DISK_CLUSTER)) {
			refused++;
			assert_int_equal(errno, EFBIG);
			continue;
		}
		memcpy(model + c * DISK_CLUSTER, cluster, c % 2 ? 512 : DISK_CLUSTER);
		done++;
	}
	limit.rlim_cur = RLIM_INFINITY;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_true(done > 10 && refused > 10);
	assert_same(&disk);
	assert_int_equal(disk_flush(&disk), 0);
	disk_destroy(&disk);
	open_disk(&disk, "", false);
	assert_int_equal(disk_open_overlay(&disk, "o"), 0);
	assert_same(&disk);
	disk_destroy(&disk);
}

/* A reset that cannot make a new overlay leaves nothing open. */
static void
test_reset_fails(void **state)
{
	struct rlimit limit = { 0, RLIM_INFINITY };
	uint8_t sector[512] = { 1 };
	const struct iovec piece = { sector, sizeof(sector) };
	unsigned before = host_descriptors();
	struct disk disk;

	make_raw();
	open_disk(&disk, "", false);
	assert_int_equal(disk_create_overlay(&disk, NULL), 0);
	assert_int_equal(disk_write(&disk, &piece, 1, sizeof(sector), 0), 0);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(disk_reset(&disk, 1), -1);
	limit.rlim_cur = RLIM_INFINITY;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_same(&disk);
	disk_destroy(&disk);
	assert_int_equal(host_descriptors(), before);
}

/* Killed at any moment: the data flushed before is readable. */
static void
test_killed(void **state)
{
	struct shared {
		atomic_uint flushed;
	} *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned most = 0, flushes;

	assert_ptr_not_equal(shared, MAP_FAILED);
	make_raw();
	for (unsigned n = 0; n < 40; n++) {
		uint8_t sector[512];
		const struct iovec piece = { sector, sizeof(sector) };
		struct disk disk;
		pid_t pid;

		unlink("o");
		shared->flushed = 0;
		pid = fork();
		if (!pid) {
			open_disk(&disk, "", false);
			if (disk_create_overlay(&disk, "o"))
				_exit(1);
			for (unsigned i = 0; i < SECTORS; i++) {
				memset(sector, (int)(i + n), sizeof(sector));
				if (disk_write(&disk, &piece, 1, 512, i * 512ull))
					_exit(1);
				if (i % 3 == 0 && !disk_flush(&disk))
					shared->flushed = i + 1;
			}
			pause();
		}
		/*
		 * At first at any time, also while the overlay is being created; then after a
		 * flush.
		 */
		flushes = n < 10 ? 0 : pick(60);
		while (shared->flushed < flushes) {
			assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
			usleep(20);
		}
		usleep((useconds_t)pick(1000));
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		if (access("o", F_OK) || !shared->flushed)
			continue;
		most = shared->flushed > most ? shared->flushed : most;
		open_disk(&disk, "", false);
		assert_int_equal(disk_open_overlay(&disk, "o"), 0);
		for (unsigned i = 0; i < shared->flushed; i++) {
			const struct iovec one_sector = { got, 512 };

			memset(sector, (int)(i + n), sizeof(sector));
			assert_int_equal(disk_read(&disk, &one_sector, 1, 512, i * 512ull), 0);
			assert_memory_equal(got, sector, 512);
		}
		disk_destroy(&disk);
	}
	assert_true(most > 0);
	munmap(shared, 4096);
}

/*
 * On a file system without holes, zeros are written. Discarded clusters keep their contents on the
 * disk itself, but not in an overlay, where the lower layer would be visible.
 */
static void
test_solid(void **state)
{
	static const enum disk_zero hows[] = { DISK_ZERO, DISK_UNMAP, DISK_DISCARD };
	const uint64_t at = 3 * DISK_CLUSTER + 512, length = 5 * DISK_CLUSTER;

	solid = true;
	for (int overlay = 0; overlay < 2; overlay++)
		for (size_t i = 0; i < 3; i++) {
			struct disk disk;

			make_raw();
			unlink("o");
			open_disk(&disk, "", !overlay);
			if (overlay)
				assert_int_equal(disk_create_overlay(&disk, "o"), 0);
			assert_int_equal(disk_zero(&disk, hows[i], length, at), 0);
			if (overlay || hows[i] != DISK_DISCARD)
				memset(model + at, 0, length);
			assert_same(&disk);
			disk_destroy(&disk);
		}
	solid = false;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures), cmocka_unit_test(test_freeze_failures),
		cmocka_unit_test(test_full),     cmocka_unit_test(test_reset_fails),
		cmocka_unit_test(test_killed),   cmocka_unit_test(test_solid),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
