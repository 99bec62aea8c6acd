/* SPDX-License-Identifier: BSD-2-Clause */
/* A disk in layers that several threads write, flush and clear at the same time. */
#include "unit/disk_bench.h"

#include <stdatomic.h>

/*
 * Threads that write their own sectors in any order. Eight sectors share a cluster. No write may be
 * lost.
 */
#define THREADS 4u
struct writer {
	struct disk *disk;
	unsigned seed, number;
	atomic_bool *end;
};

static void *
writes(void *argument)
{
	struct writer *w = argument;
	uint8_t bytes[3 * 512];

	for (unsigned i = 0; i < 1000; i++) {
		/*
		 * At first all use the same order, so that they meet in clusters that do not exist
		 * yet.
		 */
		uint32_t most = SECTORS / THREADS,
			 n = i < most ? i : (uint32_t)rand_r(&w->seed) % most,
			 sector = n * THREADS + w->number;
		const struct iovec piece = { bytes, 512 };
		uint64_t at = (uint64_t)sector * 512;

		memset(bytes, (int)(w->seed & 0xff), 512);
		if (i % 7 == 0) {
			memset(bytes, 0, 512);
			if (disk_zero(w->disk, DISK_UNMAP, 512, at))
				return w;
		} else if (disk_write(w->disk, &piece, 1, 512, at)) {
			return w;
		}
		memcpy(model + at, bytes, 512);
	}
	return NULL;
}

static void *
flushes(void *argument)
{
	struct writer *w = argument;

	while (!*w->end)
		if (disk_flush(w->disk))
			return w;
	return NULL;
}

/*
 * The last clusters are written whole, as the kernel's queue does; other threads would write parts
 * of them.
 */
static void *
calls(void *argument)
{
	struct writer *w = argument;
	uint8_t cluster[DISK_CLUSTER];
	const struct iovec piece = { cluster, sizeof(cluster) };
	struct disk_call call;

	for (unsigned i = 0; i < 300; i++) {
		uint64_t at = (uint64_t)(32 + (unsigned)rand_r(&w->seed) % 4) * DISK_CLUSTER;

		if (!disk_call_write(w->disk, DISK_CLUSTER, at, &call))
			continue;
		memset(cluster, 0x77, sizeof(cluster));
		if (pwritev(call.fd, &piece, 1, (off_t)call.at) != DISK_CLUSTER)
			return w;
		disk_call_end(w->disk, &call, true);
	}
	return NULL;
}

static void
test_threads(void **state)
{
	for (unsigned round = 0; round < 10; round++) {
		atomic_bool end = false;
		pthread_t threads[THREADS + 1];
		struct writer w[THREADS + 1];
		struct disk disk;
		void *wrong;

		make_raw();
		open_disk(&disk, "", false);
		unlink("o");
		assert_int_equal(disk_create_overlay(&disk, "o"), 0);
		slow = true;
		for (unsigned i = 0; i <= THREADS; i++) {
			w[i] = (struct writer){ &disk, round * 10 + i, i, &end };
			assert_int_equal(pthread_create(&threads[i], NULL,
							i < THREADS ? writes : flushes, &w[i]),
					 0);
		}
		for (unsigned i = 0; i <= THREADS; i++) {
			if (i == THREADS)
				end = true;
			pthread_join(threads[i], &wrong);
			assert_null(wrong);
		}
		slow = false;
		assert_same(&disk);
		assert_null(disk.claims);
		assert_int_equal(disk_flush(&disk), 0);
		disk_destroy(&disk);
		open_disk(&disk, "", false);
		assert_int_equal(disk_open_overlay(&disk, "o"), 0);
		assert_same(&disk);
		disk_destroy(&disk);
	}
}

/*
 * Whole clusters are written by the kernel and parts of them by a thread: the part is written after
 * the whole, or the whole is not written.
 */
static void
test_claims(void **state)
{
	uint8_t sector[512];
	const struct iovec piece = { sector, sizeof(sector) };
	struct writer kernel;
	struct disk disk;
	pthread_t thread;
	void *wrong;

	make_raw();
	for (unsigned round = 0; round < 200; round++) {
		open_disk(&disk, "", false);
		assert_int_equal(disk_create_overlay(&disk, NULL), 0);
		kernel = (struct writer){ &disk, round, 0, NULL };
		assert_int_equal(pthread_create(&thread, NULL, calls, &kernel), 0);
		memset(sector, 0x77, sizeof(sector));
		for (uint64_t c = 32; c < 36; c++)
			assert_int_equal(disk_write(&disk, &piece, 1, 512, c * DISK_CLUSTER), 0);
		pthread_join(thread, &wrong);
		assert_null(wrong);
		for (uint64_t c = 32; c < 36; c++) {
			const struct iovec all = { got, DISK_CLUSTER };

			assert_int_equal(disk_read(&disk, &all, 1, DISK_CLUSTER, c * DISK_CLUSTER),
					 0);
			assert_int_equal(got[0], 0x77);
			/* The rest has the old contents or the written ones, never a mixture. */
			if (got[512] == 0x77)
				for (unsigned i = 512; i < DISK_CLUSTER; i++)
					assert_int_equal(got[i], 0x77);
			else
				assert_memory_equal(got + 512, model + c * DISK_CLUSTER + 512,
						    DISK_CLUSTER - 512);
		}
		assert_null(disk.claims);
		disk_destroy(&disk);
	}
}

/* A claim blocks a part until it ends. After a failed call the lower layer is visible. */
static void *
writes_part(void *argument)
{
	const struct iovec piece = { (uint8_t[512]){ 1 }, 512 };

	return disk_write(argument, &piece, 1, 512, 512) ? argument : NULL;
}

static void
test_claim_waits(void **state)
{
	struct disk_call call, other;
	struct disk disk;
	pthread_t thread;
	void *wrong;

	make_raw();
	open_disk(&disk, "", false);
	assert_int_equal(disk_create_overlay(&disk, NULL), 0);
	assert_true(disk_call_write(&disk, DISK_CLUSTER, 0, &call));
	assert_false(disk_call_write(&disk, 2 * DISK_CLUSTER, 0, &other));
	assert_false(disk_call_write(&disk, 512, DISK_CLUSTER, &other)); /* a part */
	assert_int_equal(pthread_create(&thread, NULL, writes_part, &disk), 0);
	usleep(20000);
	assert_false(has(top(&disk), 0));
	disk_call_end(&disk, &call, false);
	pthread_join(thread, &wrong);
	assert_null(wrong);
	model[512] = 1;
	memset(model + 513, 0, 511);
	assert_same(&disk);
	disk_destroy(&disk);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_claim_waits),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
