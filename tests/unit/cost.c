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
#include <sys/mman.h>
#include <sys/syscall.h>

#include "costly.h"
#include "readers.h"

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

static uint64_t bytes_read; /* of files */

ssize_t
pread(int fd, void *to, size_t length, off_t offset)
{
	ssize_t n = syscall(SYS_pread64, fd, to, length, offset);

	bytes_read += n > 0 ? (uint64_t)n : 0;
	return n;
}

static atomic_long heap, heap_peak; /* bytes */

/* A sanitizer replaces the allocator. */
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

static char folder[] = "/tmp/minivmm-cost-XXXXXX";
static char plugins[PATH_MAX + 32];
static const struct reading reading = { (char *)"a.snap", (char *)"b.snap", (char *)"flat.snap",
					(char *)"core",   (char *)"stream", plugins };

struct cost {
	uint64_t blocks;
	uint64_t read; /* bytes of files */
	long heap;     /* peak, bytes */
};

/* stdout and stderr go to /dev/null. */
static struct cost
measure(const struct reader *reader)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), out, err;
	uint64_t before, read;
	long used;

	fflush(stdout);
	out = dup(1);
	err = dup(2);
	dup2(null, 1);
	dup2(null, 2);
	before = blocks;
	read = bytes_read;
	used = heap;
	heap_peak = used;
	reader->run(&reading);
	fflush(stdout);
	before = blocks - before;
	dup2(out, 1);
	dup2(err, 2);
	close(out);
	close(err);
	close(null);
	return (struct cost){ before, bytes_read - read, heap_peak - used };
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
	snprintf(plugins, sizeof(plugins), "plugins.path=%.*s/plugins",
		 (int)(strrchr(program, '/') - program), program);
	snprintf(command, sizeof(command),
		 "'%s' -c base.ini --until access:1 --save base.snap --log error", program);
	return system(command);
}

static int
teardown(void **state)
{
	char command[64];

	snprintf(command, sizeof(command), "/bin/rm -rf %s", folder);
	return chdir("/") || system(command);
}

/* Writes the two files that diff compares, and the stream. Returns the size of one's metadata. */
static size_t
make_files(const struct costly_kind *kind, unsigned long items)
{
	const struct costly_kind *other = !strcmp(kind->name, "items")     ? costly_find("reversed")
					  : !strcmp(kind->name, "changed") ? costly_find("items")
									   : kind;
	size_t size = costly_write("a.snap", "base.snap", kind, items);

	costly_write("b.snap", "base.snap", other, items);
	reader_make_stream(&reading, 65536);
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
				costs[r][i] = (int64_t)measure(&readers[r]).blocks;
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
#define BLOCKS_MAX 200u
#define HEAP_MAX 4u
#define HEAP_BASE (3l << 20)
#define READ_MAX 8u /* two files, verified and compared; holes are not read */

static void
cost_is_bounded_by_size(void **state)
{
	for (size_t k = 0; k < COSTLY_KINDS; k++) {
		const struct costly_kind *kind = &costly_kinds[k];
		size_t size = make_files(kind, 130000);

		for (size_t c = 0; c < READERS; c++) {
			struct cost cost = measure(&readers[c]);

			if (cost.blocks > BLOCKS_MAX * size + 1000000 ||
			    cost.heap > HEAP_BASE + (long)(HEAP_MAX * size) ||
			    cost.read > READ_MAX * (size + 65536))
				fail_msg("%s of %s, %zu bytes: %llu blocks, %ld bytes of heap, "
					 "%llu bytes read",
					 readers[c].name, kind->name, size,
					 (unsigned long long)cost.blocks, cost.heap,
					 (unsigned long long)cost.read);
			if (getenv("COST_SHOW"))
				print_message("# %-16s %-12s %8zu bytes %6.1f blocks and %5.2f "
					      "bytes of heap a byte\n",
					      readers[c].name, kind->name, size,
					      (double)cost.blocks / (double)size,
					      (double)cost.heap / (double)size);
		}
	}
}

/* Writes a diff of a parent. It holds all pages, and its memory is a hole. */
static void
write_hollow_diff(const char *path, const char *parent_path)
{
	struct snapshot parent;
	struct snapshot_header header = { .id = { 7 } };
	struct snapshot_meta meta = { 0 };
	uint8_t *bytes, *held;
	size_t length;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(snapshot_open(&parent, parent_path), 0);
	for (uint32_t i = 0; i < parent.header.sections; i++) {
		const struct snapshot_row *row = &parent.rows[i];

		snapshot_meta_add(&meta, row->tag, row->index, row->flags,
				  (const uint8_t *)parent.rows + row->offset, row->length);
	}
	length = parent.header.memory_size / PAGE_SIZE / 8;
	held = malloc(length);
	assert_non_null(held);
	memset(held, 0xff, length);
	snapshot_meta_add(&meta, SECTION_PAGES, 0, 0, held, length);
	free(held);
	memcpy(header.parent, parent.header.id, sizeof(header.parent));
	header.parent_checksum = parent.header.checksum;
	bytes = snapshot_meta_seal(&meta, &header, parent.header.memory_size);
	assert_non_null(bytes);
	assert_int_equal(write(fd, bytes, sizeof(header)), sizeof(header));
	assert_int_equal(
	    pwrite(fd, bytes + sizeof(header), header.table_size, (off_t)header.table_offset),
	    header.table_size);
	close(fd);
	free(bytes);
	snapshot_meta_free(&meta);
	snapshot_close(&parent);
}

/* The anonymous memory of this process, bytes. */
static long
anonymous(void)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[256];
	long kib = 0;

	assert_non_null(status);
	while (fgets(line, sizeof(line), status))
		sscanf(line, "RssAnon: %ld kB", &kib);
	fclose(status);
	return kib << 10;
}

/* A diff and its parent may claim any memory: while both are holes, reading it takes none. */
static void
holes_of_a_chain_take_no_memory(void **state)
{
	char *others[] = { (char *)"a.snap" };
	const uint8_t *image;
	struct snapshot diff;
	long before;

	costly_write("a.snap", "base.snap", costly_find("holes"), 16384);
	write_hollow_diff("b.snap", "a.snap");
	assert_int_equal(snapshot_open_chain(&diff, "b.snap", others, 1), 0);
	before = anonymous();
	assert_int_equal(snapshot_map(&diff, &image), 0);
	assert_in_range(anonymous() - before + (1 << 20), 0, 8 << 20); /* of 1 GiB */
	munmap((void *)image, diff.header.memory_size);
	snapshot_close(&diff);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(holes_of_a_chain_take_no_memory),
		cmocka_unit_test(cost_grows_with_size),
		cmocka_unit_test(cost_is_bounded_by_size),
	};

	setenv("PATH", "/dev/null", 1); /* no objdump */
	return cmocka_run_group_tests(tests, setup, teardown);
}
