/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What files cost: time by the number of basic blocks that are executed, and peak memory by the
 * heap, for each command that reads snapshots and each kind of costly metadata. Core is compiled
 * with -fsanitize-coverage=trace-pc for this test, so that the counts do not depend on the machine.
 */
#include <limits.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include "cli/cli.h"
#include "costly.h"
#include "vm/vm.h"

#include <cmocka.h>

/* --- Counts --- */

static uint64_t blocks;

void __sanitizer_cov_trace_pc(void);

/* Called by each basic block of core. */
void
__sanitizer_cov_trace_pc(void)
{
	blocks++;
}

static atomic_long heap, heap_peak; /* bytes */

/* A sanitizer has an allocator of its own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *old);

static void *
count(void *block)
{
	long now = block ? atomic_fetch_add(&heap, (long)malloc_usable_size(block)) : 0;

	if (block && now + (long)malloc_usable_size(block) > heap_peak)
		heap_peak = now + (long)malloc_usable_size(block);
	return block;
}

void *
malloc(size_t size)
{
	return count(__libc_malloc(size));
}

void *
calloc(size_t number, size_t size)
{
	return count(__libc_calloc(number, size));
}

void *
realloc(void *old, size_t size)
{
	size_t before = old ? malloc_usable_size(old) : 0;
	void *new = __libc_realloc(old, size);

	if (new || !size)
		atomic_fetch_sub(&heap, (long)before);
	return count(new);
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return count(__libc_memalign(alignment, size));
}

void
free(void *old)
{
	if (old)
		atomic_fetch_sub(&heap, (long)malloc_usable_size(old));
	__libc_free(old);
}
#endif

/* --- Commands --- */

static char folder[] = "/tmp/minivmm-cost-XXXXXX";
static char plugins_path[PATH_MAX + 32];

static void
verify(char *path, char *other)
{
	char *argv[] = { (char *)"verify", path, NULL };

	cli_verify(2, argv);
}

static void
inspect(char *path, char *other)
{
	char *argv[] = { (char *)"inspect", path, NULL };

	cli_inspect(2, argv);
}

static void
inspect_json(char *path, char *other)
{
	char *argv[] = { (char *)"inspect", (char *)"--json", path, NULL };

	cli_inspect(3, argv);
}

static void
diff(char *path, char *other)
{
	char *argv[] = { (char *)"diff", path, other, NULL };

	cli_diff(3, argv);
}

static void
flatten(char *path, char *other)
{
	char *argv[] = { (char *)"flatten", path, (char *)"-o", (char *)"flat.snap", NULL };

	cli_flatten(4, argv);
}

/* Everything that precedes KVM. again: as batch does. */
static void
restore(char *path, bool again)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	char *set = plugins_path;
	const struct vm_source source = {
		.restore = path, .again = again, .check = true, .set = &set, .set_count = 1
	};

	assert_non_null(vm);
	vm_build(vm, &source);
	vm_destroy(vm);
	free(vm);
}

static void
restore_one(char *path, char *other)
{
	restore(path, false);
}

static void
restore_many(char *path, char *other)
{
	restore(path, true);
}

static void
put_frame(int to, uint64_t offset, const uint8_t *bytes, uint32_t length)
{
	struct stream_frame frame = { .offset = offset, .length = length };

	frame.checksum = crc32c(crc32c(0, &frame, sizeof(frame)), bytes, length);
	assert_int_equal(write(to, &frame, sizeof(frame)), sizeof(frame));
	assert_int_equal(write(to, bytes, length), length);
}

/* As -r - does, from a file with the stream. */
static void
receive(char *path, char *other)
{
	struct snapshot snapshot;
	int fd = open("stream", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	snapshot_receive(&snapshot, fd, "stream");
	snapshot_close(&snapshot);
	close(fd);
}

static const struct reader {
	const char *name;
	void (*run)(char *path, char *other);
} readers[] = {
	{ "verify", verify },      { "inspect", inspect }, { "inspect --json", inspect_json },
	{ "diff", diff },          { "flatten", flatten }, { "restore", restore_one },
	{ "batch", restore_many }, { "-r -", receive },
};

#define READERS (sizeof(readers) / sizeof(*readers))

/* Writes the file as a stream, in frames of up to 64 KiB. */
static void
make_stream(const char *path)
{
	static uint8_t bytes[65536];
	int from = open(path, O_RDONLY | O_CLOEXEC);
	int to = open("stream", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	uint64_t at = 0;
	ssize_t n;

	assert_true(from >= 0 && to >= 0);
	assert_int_equal(write(to, STREAM_MAGIC, 8), 8);
	put_frame(to, 1ull << 40, bytes, 0);
	for (; (n = read(from, bytes, sizeof(bytes))) > 0; at += (uint64_t)n)
		put_frame(to, at, bytes, (uint32_t)n);
	put_frame(to, at, bytes, 0);
	close(from);
	close(to);
}

struct cost {
	uint64_t blocks;
	long heap; /* peak, bytes */
};

/* stdout and stderr go to /dev/null. */
static struct cost
measure(const struct reader *reader, char *path, char *other)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), out, err;
	uint64_t before;
	long used;

	fflush(stdout);
	out = dup(1);
	err = dup(2);
	dup2(null, 1);
	dup2(null, 2);
	before = blocks;
	used = heap;
	heap_peak = used;
	reader->run(path, other);
	fflush(stdout);
	before = blocks - before;
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	close(null);
	return (struct cost){ before, heap_peak - used };
}

/* --- Tests --- */

static int
setup(void **state)
{
	const char *name = getenv("MINIVMM");
	char program[PATH_MAX], command[PATH_MAX + 128];
	FILE *config;

	if (!realpath(name ? name : "./minivmm", program) || !mkdtemp(folder) || chdir(folder))
		return -1;
	config = fopen("base.ini", "w");
	if (!config)
		return -1;
	fputs("[vm]\nmemory_at = 0x1000\nmemory = 16K\n[boot]\ncode = b0 34 ba f8 03 ee f4\n"
	      "[device serial0]\nplugin = serial\noutput = none\n",
	      config);
	fclose(config);
	snprintf(plugins_path, sizeof(plugins_path), "plugins.path=%.*s/plugins",
		 (int)(strrchr(program, '/') - program), program);
	snprintf(command, sizeof(command),
		 "'%s' -c base.ini --until access:1 --save base.snap --log error", program);
	return system(command);
}

static int
teardown(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return chdir("/") || system(command);
}

/* Writes the two files that diff compares, and the stream. Returns the size of one's metadata. */
static size_t
make_files(const struct costly_kind *kind, unsigned long items)
{
	const struct costly_kind *other =
	    strcmp(kind->name, "items") ? kind : costly_find("reversed");
	size_t size = costly_write("a.snap", "base.snap", kind, items);

	costly_write("b.snap", "base.snap", other, items);
	make_stream("a.snap");
	return size;
}

/*
 * The growth from 2n to 4n items is 2.2 times that from n to 2n if a pass is O(n log n), and 4
 * times if it compares all with all. A group has up to 4n items.
 */
static void
cost_grows_with_size(void **state)
{
	for (size_t k = 0; k < COSTLY_KINDS; k++) {
		const struct costly_kind *kind = &costly_kinds[k];
		unsigned long most =
		    kind->max && kind->max < COSTLY_GROUP ? kind->max : COSTLY_GROUP;
		int64_t costs[READERS][3];

		for (int i = 0; i < 3; i++) {
			make_files(kind, most >> (2 - i));
			for (size_t r = 0; r < READERS; r++)
				costs[r][i] = (int64_t)measure(&readers[r], (char *)"a.snap",
							       (char *)"b.snap")
						  .blocks;
		}
		for (size_t r = 0; r < READERS; r++) {
			int64_t before = costs[r][1] - costs[r][0],
				after = costs[r][2] - costs[r][1];

			if (after > before * 5 / 2 + 20000)
				fail_msg("%s of %s: %lld, %lld and %lld blocks for n, 2n and 4n "
					 "items",
					 readers[r].name, kind->name, (long long)costs[r][0],
					 (long long)costs[r][1], (long long)costs[r][2]);
		}
	}
}

/*
 * The cost of each byte of large metadata. COST_SHOW=1 prints what it is now. The heap is that of
 * one mapping of the file and some copies; a stream needs a buffer for a frame as well.
 */
#define BLOCKS_MAX 100u
#define HEAP_MAX 4u
#define HEAP_BASE (3l << 20)

static void
cost_is_bounded_by_size(void **state)
{
	for (size_t k = 0; k < COSTLY_KINDS; k++) {
		const struct costly_kind *kind = &costly_kinds[k];
		size_t size = make_files(kind, 130000);

		for (size_t c = 0; c < READERS; c++) {
			struct cost cost = measure(&readers[c], (char *)"a.snap", (char *)"b.snap");

			if (cost.blocks > BLOCKS_MAX * size + 1000000 ||
			    cost.heap > HEAP_BASE + (long)(HEAP_MAX * size))
				fail_msg("%s of %s, %zu bytes: %llu blocks, %ld bytes of heap",
					 readers[c].name, kind->name, size,
					 (unsigned long long)cost.blocks, cost.heap);
			if (getenv("COST_SHOW"))
				print_message("# %-16s %-12s %8zu bytes %6.1f blocks and %5.2f "
					      "bytes of heap a byte\n",
					      readers[c].name, kind->name, size,
					      (double)cost.blocks / (double)size,
					      (double)cost.heap / (double)size);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cost_grows_with_size),
		cmocka_unit_test(cost_is_bounded_by_size),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
