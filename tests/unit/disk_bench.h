/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk in layers, and an array with the contents that it must have. Calls of the host fail on
 * request.
 */
#ifndef TESTS_DISK_BENCH_H
#define TESTS_DISK_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "unit/fake_services.h"
#include "unit/seed.h"

/* Calls that fail on request. */
static atomic_int fail_after = -1, fail_sync = -1; /* calls that succeed before; -1: all succeed */
static inline bool
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

static inline int
test_fdatasync(int fd)
{
	return fails(&fail_sync) ? -1 : fdatasync(fd);
}

static inline ssize_t
test_pwrite(int fd, const void *bytes, size_t length, off_t at)
{
	return fails(&fail_after) ? -1 : pwrite(fd, bytes, length, at);
}

static inline ssize_t
test_pwritev(int fd, const struct iovec *pieces, int count, off_t at)
{
	return fails(&fail_after) ? -1 : pwritev(fd, pieces, count, at);
}

/* Other threads run between the read of a cluster's rest and its write. */
static atomic_bool slow;

static inline ssize_t
test_preadv(int fd, const struct iovec *pieces, int count, off_t at)
{
	ssize_t n = preadv(fd, pieces, count, at);

	if (slow)
		usleep(20);
	return n;
}

/* A file system without holes. */
static bool solid;

static inline int
test_fallocate(int fd, int mode, off_t at, off_t length)
{
	errno = EOPNOTSUPP;
	return solid ? -1 : fallocate(fd, mode, at, length);
}

static unsigned lookups; /* of names */

static inline int
test_lstat(const char *path, struct stat *st)
{
	lookups++;
	return lstat(path, st);
}

static unsigned found; /* absolute paths */

static char *
test_realpath(const char *path, char *room)
{
	found++;
	return realpath(path, room);
}

static atomic_ulong space = 1ul << 40; /* bytes in the file system that are free */

static inline int
test_fstatfs(int fd, struct statfs *fs)
{
	*fs = (struct statfs){ .f_bsize = 512, .f_blocks = 1ul << 40 };
	fs->f_bavail = atomic_load(&space) / 512;
	return 0;
}

#define lstat test_lstat
#include "../../plugins/common/disk/names.c"
#undef lstat
#define preadv test_preadv
#define fallocate test_fallocate
#define fdatasync test_fdatasync
#define pwrite test_pwrite
#define pwritev test_pwritev
#include "../../plugins/common/disk/file.c"
#include "../../plugins/common/disk/overlay.c"
#undef preadv
#undef fallocate
#undef fdatasync
#undef pwrite
#undef pwritev
#include "../../plugins/common/disk/disk.c"
#define realpath test_realpath
#include "../../plugins/common/disk/freeze.c"
#undef realpath
#include "../../plugins/common/disk/layers.c"
#define fstatfs test_fstatfs
#include "../../plugins/common/disk/merge.c"
#undef fstatfs
#include "unit/fake_export.h"

#define OPERATIONS 10000u
#define BYTES (37u * DISK_CLUSTER + 1536u) /* not a multiple of the cluster size */
#define SECTORS (BYTES / 512u)

static uint64_t seed;
static struct fake host;
static const struct minivmm_plugin plugin = { .name = "disk", .state_size = 1 };
static char test_directory[64];
static uint8_t model[BYTES], got[BYTES];
static unsigned captured;

static inline int
capture_file(struct minivmm_device *dev, int fd)
{
	captured++;
	return 0;
}

static int
setup(void **state)
{
	seed = random_seed();
	snprintf(test_directory, sizeof(test_directory), "%s/disk.XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(test_directory));
	assert_int_equal(chdir(test_directory), 0);
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
	snprintf(command, sizeof(command), "rm -r %s", test_directory);
	return chdir("/") || system(command);
}

static inline uint32_t
pick(uint32_t n)
{
	return (uint32_t)random_below(&seed, n);
}

/* A raw disk of random bytes, in a file that is longer than the disk. */
static inline void
make_raw(void)
{
	int fd = open("raw", O_RDWR | O_CREAT | O_TRUNC, 0600);

	for (size_t i = 0; i < BYTES; i++)
		model[i] = (uint8_t)random_next(&seed);
	assert_int_equal(write(fd, model, BYTES), BYTES);
	assert_int_equal(write(fd, "left over", 9), 9);
	close(fd);
}

static inline void
open_disk(struct disk *disk, const char *layers, bool write)
{
	memset(disk, 0, sizeof(*disk));
	disk_init(disk, &host.device, false);
	assert_int_equal(disk_open(disk, "raw", layers, write), 0);
	assert_int_equal(disk->bytes, BYTES);
}

/* Splits a buffer into pieces of any length, some of them empty. */
static inline uint32_t
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

static inline void
assert_same(struct disk *disk)
{
	const struct iovec all = { got, BYTES };

	memset(got, 0x5a, sizeof(got));
	assert_int_equal(disk_read(disk, &all, 1, BYTES, 0), 0);
	assert_memory_equal(got, model, BYTES);
}

/* As the kernel does it for ring.c. */
static inline bool
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

static inline void
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
static inline char *
freeze(struct disk *disk)
{
	struct disk again;
	char *stem = disk_stem(disk, ""), *layers;
	unsigned ours = 0;

	captured = 0;
	assert_int_equal(disk_freeze(disk, stem, false), 0);
	for (uint32_t i = 0; i + 1 < disk->count; i++)
		ours += disk->layers[i].written_here;
	assert_int_equal(captured, ours + !!ours); /* the files, and their test_directory once */
	free(stem);
	layers = disk_layers(disk);
	assert_non_null(layers);
	open_disk(&again, layers, false);
	assert_int_equal(disk_create_overlay(&again, NULL), 0);
	assert_same(&again);
	disk_destroy(&again);
	return layers;
}

#endif
