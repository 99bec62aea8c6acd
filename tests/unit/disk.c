/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in layers, compared with an array, through reads, writes, zeroing, flushes, freezes and
 * reopening, by one thread or by several. And the contents after failed writes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_services.h"
#include "seed.h"

/* Calls that fail on request. */
static atomic_int fail_after = -1, fail_sync = -1; /* calls that succeed before; -1: all succeed */
static bool
fails(atomic_int *after)
{
	int left = atomic_load(after);

	while (left >= 0 && !atomic_compare_exchange_weak(after, &left, left - 1))
		;
	if (left)
		return false;
	errno = EIO;
	return true;
}

static int
test_fdatasync(int fd)
{
	return fails(&fail_sync) ? -1 : fdatasync(fd);
}

static ssize_t
test_pwrite(int fd, const void *bytes, size_t length, off_t at)
{
	return fails(&fail_after) ? -1 : pwrite(fd, bytes, length, at);
}

static ssize_t
test_pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
	return fails(&fail_after) ? -1 : pwritev(fd, pieces, count, at);
}

/* Other threads run between the read of a cluster's rest and its write. */
static atomic_bool slow;

static ssize_t
test_preadv(int fd, const struct iovec *pieces, int count, off_t at)
{
	ssize_t n = preadv(fd, pieces, count, at);

	if (slow)
		usleep(20);
	return n;
}

/* A file system without holes. */
static bool solid;

static int
test_fallocate(int fd, int mode, off_t at, off_t length)
{
	errno = EOPNOTSUPP;
	return solid ? -1 : fallocate(fd, mode, at, length);
}

static unsigned lookups; /* of names */

static int
test_lstat(const char *path, struct stat *st)
{
	lookups++;
	return lstat(path, st);
}

#define lstat test_lstat
#include "../../plugins/virtio-blk/names.c"
#undef lstat
#define preadv test_preadv
#define fallocate test_fallocate
#define fdatasync test_fdatasync
#define pwrite test_pwrite
#define pwritev test_pwritev
#include "../../plugins/virtio-blk/file.c"
#include "../../plugins/virtio-blk/overlay.c"
#undef preadv
#undef fallocate
#undef fdatasync
#undef pwrite
#undef pwritev
#include "../../plugins/virtio-blk/disk.c"
#include "../../plugins/virtio-blk/freeze.c"
#include "../../plugins/virtio-blk/layers.c"
#include "fake_export.h"

#define OPERATIONS 10000u
#define BYTES (37u * DISK_CLUSTER + 1536u) /* not a multiple of the cluster size */
#define SECTORS (BYTES / 512u)

static uint64_t seed;
static struct fake host;
static const struct minivmm_plugin plugin = { .name = "disk", .state_size = 1 };
static char folder[64];
static uint8_t model[BYTES], got[BYTES];
static unsigned captured;

static int
capture_file(struct minivmm_device *dev, int fd)
{
	captured++;
	return 0;
}

static int
setup(void **state)
{
	snprintf(folder, sizeof(folder), "%s/disk.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	fake_create(&host, &plugin);
	host.services.capture_file = capture_file;
	fail_after = fail_sync = -1;
	return 0;
}

static int
teardown(void **state)
{
	char command[128];

	fake_destroy(&host);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return chdir("/") || system(command);
}

static uint32_t
pick(uint32_t n)
{
	return (uint32_t)random_below(&seed, n);
}

/* A raw disk of random bytes, in a file that is longer than the disk. */
static void
make_raw(void)
{
	int fd = open("raw", O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (size_t i = 0; i < BYTES; i++)
		model[i] = (uint8_t)random_next(&seed);
	assert_int_equal(write(fd, model, BYTES), BYTES);
	assert_int_equal(write(fd, "left over", 9), 9);
	close(fd);
}

static void
open_disk(struct disk *disk, const char *layers, bool write)
{
	memset(disk, 0, sizeof(*disk));
	disk_init(disk, &host.device, false);
	assert_int_equal(disk_open(disk, "raw", layers, write), 0);
	assert_int_equal(disk->bytes, BYTES);
}

/* Splits a buffer into pieces of any length, some of them empty. */
static uint32_t
cut(uint8_t *bytes, uint64_t length, struct iovec *pieces)
{
	uint32_t count = 0;

	while (length && count < DISK_PIECES - 1) {
		size_t part = pick(4) ? 1 + pick(length < 3000 ? (uint32_t)length : 3000) : 0;

		part = part < length ? part : length;
		pieces[count++] = (struct iovec){ bytes, part };
		bytes += part;
		length -= part;
	}
	pieces[count++] = (struct iovec){ bytes, length };
	return count;
}

static void
assert_same(struct disk *disk)
{
	const struct iovec all = { got, BYTES };

	memset(got, 0x5a, sizeof(got));
	assert_int_equal(disk_read(disk, &all, 1, BYTES, 0), 0);
	assert_memory_equal(got, model, BYTES);
}

/* As the kernel does it for ring.c. */
static bool
by_call(struct disk *disk, unsigned what, enum disk_zero how, const struct iovec *pieces,
	uint32_t count, uint64_t length, uint64_t at)
{
	struct disk_call call;

	if (what == 0 && disk_call_read(disk, length, at, &call))
		assert_int_equal(preadv(call.fd, pieces, (int)count, (off_t)call.at), length);
	else if (what == 1 && disk_call_write(disk, length, at, &call))
		assert_int_equal(pwritev(call.fd, pieces, (int)count, (off_t)call.at), length);
	else if (what == 2 && disk_call_zero(disk, how, length, at, &call))
		assert_int_equal(fallocate(call.fd, call.mode, (off_t)call.at, (off_t)length), 0);
	else
		return false;
	disk_call_end(disk, &call, true);
	return true;
}

static void
one(struct disk *disk, bool discards)
{
	static uint8_t bytes[BYTES];
	struct iovec pieces[DISK_PIECES];
	bool clusters = !pick(3), call = pick(2);
	uint32_t unit = clusters ? DISK_CLUSTER : 512;
	uint64_t at = (uint64_t)pick(BYTES / unit) * unit, most = (BYTES - at) / unit,
		 length = (1 + pick(most < 40 ? (uint32_t)most : 40)) * unit;
	unsigned what = pick(3);
	enum disk_zero how = pick(discards ? 3 : 2);
	uint32_t count;

	if (clusters && !pick(8)) /* to the end, which is less than a cluster */
		length = BYTES - at;
	length = length < BYTES - at ? length : BYTES - at;
	for (size_t i = 0; i < length; i++)
		bytes[i] = (uint8_t)random_next(&seed);
	count = cut(bytes, length, pieces);
	if (what == 1)
		memcpy(model + at, bytes, length);
	if (what == 2)
		memset(model + at, 0, length);
	if (!call || !by_call(disk, what, how, pieces, count, length, at)) {
		if (what == 0)
			assert_int_equal(disk_read(disk, pieces, count, length, at), 0);
		else if (what == 1)
			assert_int_equal(disk_write(disk, pieces, count, length, at), 0);
		else
			assert_int_equal(disk_zero(disk, how, length, at), 0);
	}
	if (what == 0)
		assert_memory_equal(bytes, model + at, length);
}

/*
 * The layers that a snapshot names contain the disk's contents at this time, whatever is written
 * later.
 */
static char *
freeze(struct disk *disk)
{
	struct disk again;
	char *stem = disk_stem(disk, ""), *layers;
	unsigned ours = 0;

	captured = 0;
	assert_int_equal(disk_freeze(disk, stem), 0);
	for (uint32_t i = 0; i + 1 < disk->count; i++)
		ours += disk->layers[i].written_here;
	assert_int_equal(captured, ours + !!ours); /* the files, and their folder once */
	free(stem);
	layers = disk_layers(disk);
	assert_non_null(layers);
	open_disk(&again, layers, false);
	assert_int_equal(disk_create_overlay(&again, NULL), 0);
	assert_same(&again);
	disk_destroy(&again);
	return layers;
}

static void
test_model(void **state)
{
	struct disk disk;
	char *layers = NULL;
	static uint8_t then[BYTES];
	unsigned frozen = 0;

	make_raw();
	open_disk(&disk, "", true);
	for (unsigned i = 0; i < OPERATIONS; i++) {
		one(&disk, !frozen);
		if (!pick(100))
			assert_int_equal(disk_flush(&disk), 0);
		if (!pick(500))
			assert_same(&disk);
		if (!pick(400) && disk.count < 30) {
			free(layers);
			layers = freeze(&disk);
			frozen = disk.count;
			memcpy(then, model, sizeof(then));
		}
	}
	assert_same(&disk);
	assert_true(disk.count > 10);
	/* Continues with the last overlay, as flushed. */
	assert_int_equal(disk_flush(&disk), 0);
	layers = (free(layers), disk_layers(&disk));
	char *top = strdup(disk.layers[disk.count - 1].path);
	disk_destroy(&disk);
	open_disk(&disk, layers, false);
	assert_int_equal(disk_open_overlay(&disk, top), 0);
	assert_same(&disk);
	disk_destroy(&disk);
	/* And without it. */
	open_disk(&disk, layers, false);
	assert_int_equal(disk_create_overlay(&disk, NULL), 0);
	memcpy(model, then, sizeof(then));
	assert_same(&disk);
	disk_destroy(&disk);
	free(layers);
	free(top);
}

static void
test_reset(void **state)
{
	static uint8_t then[BYTES];
	struct disk disk;

	make_raw();
	memcpy(then, model, sizeof(then));
	open_disk(&disk, "", false);
	assert_int_equal(disk_create_overlay(&disk, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		one(&disk, false);
		if (!pick(100))
			free(freeze(&disk));
		if (!pick(20)) {
			assert_int_equal(disk_reset(&disk, 1), 0);
			memcpy(model, then, sizeof(then));
			assert_same(&disk);
		}
	}
	disk_destroy(&disk);
}

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
		if (disk_freeze(&disk, stem))
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

/* A free name is found among many that are taken, without a look at each. */
static void
test_names(void **state)
{
	static const unsigned counts[] = { 0, 1, 2, 3, 7, 8, 9, 3000 };
	unsigned made = 0;
	char name[32];
	uint32_t n;

	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		while (made < counts[i]) {
			snprintf(name, sizeof(name), "names.%u", ++made);
			close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		}
		lookups = 0;
		assert_int_equal(disk_free_number("names", &n), 0);
		assert_int_equal(n, made + 1);
		assert_in_range(lookups, 1, 30);
	}
	lookups = 0;
	assert_int_equal(disk_free_number("names.1/x", &n), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(lookups, 1);
	/* A link that leads nowhere is not free. */
	assert_int_equal(symlink("nowhere", "dangling.1"), 0);
	assert_int_equal(disk_free_number("dangling", &n), 0);
	assert_int_equal(n, 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),           cmocka_unit_test(test_reset),
		cmocka_unit_test(test_threads),         cmocka_unit_test(test_claims),
		cmocka_unit_test(test_claim_waits),     cmocka_unit_test(test_failures),
		cmocka_unit_test(test_freeze_failures), cmocka_unit_test(test_full),
		cmocka_unit_test(test_killed),          cmocka_unit_test(test_solid),
		cmocka_unit_test(test_names),
	};
	int failed;

	seed = random_seed();
	if (setup(NULL))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	return failed + !!teardown(NULL);
}
