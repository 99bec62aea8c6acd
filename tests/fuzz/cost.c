/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Searches for snapshots that cost a command more time or memory than their size allows. An input
 * is the metadata of a file, whose memory is a hole. The mutator changes the structure: it repeats,
 * reverses and renames items, repeats sections, and then repairs lengths and checksums, so that the
 * code behind them is reached.
 *
 * The bound of CPU time is generous, because the sanitizers are slow: a pass that compares all
 * items of a large group with all others exceeds it, one that sorts them does not. The bound of
 * memory is the peak of the heap.
 */
#include <sanitizer/allocator_interface.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "../unit/costly.h"
#include "../unit/readers.h"

#include "base/log.h"

#define TIME_BASE 100000000ull  /* ns, of CPU */
#define TIME_BYTE 3000ull       /* ns for each byte of the input */
#define TIME_ROUNDS 3           /* the least of so many counts, as a busy machine slows some */
#define HEAP_BASE (16l << 20)   /* bytes; the receiver and the plugins have buffers */
#define HEAP_BYTE 16l           /* for each byte of the input: two files in diff, copies, records */
#define MEMORY_MAX (1ull << 34) /* bytes of memory of the file, all of them a hole */

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed);

static long heap, heap_peak;

static void
allocated(const volatile void *block, size_t size)
{
	heap += (long)size;
	heap_peak = heap > heap_peak ? heap : heap_peak;
}

static void
freed(const volatile void *block)
{
	heap -= block ? (long)__sanitizer_get_allocated_size(block) : 0;
}

static char folder[] = "/dev/shm/minivmm-fuzz-XXXXXX", names[5][64], plugins[4096];
static const struct reading reading = { names[0], names[1], names[2], names[3], names[4], plugins };

static void
clean_up(void)
{
	for (size_t i = 0; i < 5; i++)
		unlink(names[i]);
	rmdir(folder);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char *const files[] = { "a", "b", "flat", "core", "stream" };
	char here[4000];

	if (!mkdtemp(folder) || !getcwd(here, sizeof(here)))
		err(2, "%s", folder);
	for (size_t i = 0; i < 5; i++)
		snprintf(names[i], sizeof(names[i]), "%s/%s", folder, files[i]);
	/* make fuzz runs in build/fuzz. */
	snprintf(plugins, sizeof(plugins), "plugins.path=%s/../../plugins:%s/plugins", here, here);
	atexit(clean_up);
	setenv("PATH", "/dev/null", 1); /* no objdump */
	__sanitizer_install_malloc_and_free_hooks(allocated, freed);
	return 0;
}

/* --- The file --- */

/* Sets sizes, offsets and checksums. Each section keeps its length. */
static void
repair(uint8_t *data, size_t size)
{
	struct snapshot_header *header = (struct snapshot_header *)data;
	struct snapshot_row *rows = (struct snapshot_row *)(header + 1);
	uint64_t room = size - sizeof(*header), at;

	header->sections %= room / sizeof(*rows) + 1;
	header->table_size = room;
	header->memory_offset = SNAPSHOT_MEMORY_OFFSET;
	header->memory_size %= MEMORY_MAX;
	header->table_offset = SNAPSHOT_MEMORY_OFFSET + header->memory_size;
	at = header->sections * sizeof(*rows);
	for (uint32_t i = 0; i < header->sections; i++) {
		uint64_t left = room - at;

		rows[i].offset = at;
		if (rows[i].length > left || i + 1 == header->sections)
			rows[i].length = left;
		rows[i].checksum = crc32c(0, (uint8_t *)rows + at, rows[i].length);
		at += rows[i].length;
	}
	header->checksum = 0;
	header->checksum =
	    crc32c(crc32c(0, header, sizeof(*header)), rows, header->sections * sizeof(*rows));
}

static void
write_file(const char *path, const uint8_t *data, size_t size)
{
	const struct snapshot_header *header = (const struct snapshot_header *)data;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	size_t table = size - sizeof(*header);

	if (fd < 0 || pwrite(fd, data, sizeof(*header), 0) != sizeof(*header) ||
	    pwrite(fd, data + sizeof(*header), table, (off_t)header->table_offset) !=
		(ssize_t)table)
		err(2, "%s", path);
	close(fd);
}

/* --- The mutator --- */

static uint32_t
pick(unsigned *seed, uint64_t below)
{
	*seed = *seed * 1103515245u + 12345u;
	return below ? (uint32_t)((*seed >> 8) % below) : 0;
}

/* Copies a record; one group or list of it gets more items, or its items in another order. */
#define ALL UINT32_MAX
struct change {
	uint32_t at, now; /* the number of the group to change or ALL, and of the current one */
	uint32_t items;   /* to add */
	bool reverse;
};

static void copy_items(struct costly_bytes *to, const struct record *from, struct change *change);

static void
copy_item(struct costly_bytes *to, const struct record *item, struct change *change)
{
	size_t size = item->count * record_width((enum record_type)item->type), at = to->length;
	const uint8_t *begin = (const uint8_t *)item->name - 2;

	if (item->type != RECORD_GROUP && item->type != RECORD_LIST) {
		memcpy(costly_extend(to, 6u + item->name_length + size), begin,
		       6u + item->name_length + size);
		return;
	}
	memcpy(costly_extend(to, 6u + item->name_length), begin, 6u + item->name_length);
	copy_items(to, item, change);
	costly_end(to, at);
}

static void
copy_items(struct costly_bytes *to, const struct record *from, struct change *change)
{
	bool here = change->now++ == change->at || change->at == ALL;
	struct record_index index;
	struct record item;
	size_t position = 0;

	if (here && change->reverse && from->type == RECORD_GROUP &&
	    !record_index_open(&index, from)) {
		for (size_t i = index.count; i--;) {
			size_t at = index.items[i].position;

			record_next(from, &at, &item);
			copy_item(to, &item, change);
		}
		record_index_free(&index);
	} else {
		while (record_next(from, &position, &item))
			copy_item(to, &item, change);
	}
	for (uint32_t i = 0; here && i < change->items; i++)
		if (from->type == RECORD_LIST)
			costly_put(to, "", RECORD_GROUP, NULL, 0);
		else
			costly_value(to, (change->reverse ? change->items - i : i) + 0x10000000, 1);
}

/* Appends the sections of a file, one of them changed, and repeats another one. */
static size_t
restructure(uint8_t *data, size_t max_size, const struct snapshot *s, unsigned *seed)
{
	struct snapshot_meta meta = { 0 };
	struct snapshot_header header = s->header;
	uint32_t changed = pick(seed, s->header.sections), repeats = 0;
	uint32_t repeated = pick(seed, s->header.sections);
	size_t length;
	uint8_t *bytes;

	if (!pick(seed, 4))
		repeats = 1u << pick(seed, 12);
	for (uint32_t i = 0; i < s->header.sections; i++) {
		const struct snapshot_row *row = &s->rows[i];
		struct costly_bytes body = { .data = NULL };
		struct change change = { .at = pick(seed, 8),
					 .items = 1u << pick(seed, 13),
					 .reverse = pick(seed, 2) };

		if (i == changed && s->sections[i].data)
			copy_items(&body, &s->sections[i], &change);
		else
			memcpy(costly_extend(&body, row->length),
			       (const uint8_t *)s->rows + row->offset, row->length);
		for (uint32_t n = 0; n <= (i == repeated ? repeats : 0); n++)
			snapshot_meta_add(&meta, row->tag, row->index + n, row->flags, body.data,
					  body.length);
		free(body.data);
	}
	bytes = snapshot_meta_seal(&meta, &header, s->header.memory_size);
	length = snapshot_meta_size(&meta);
	snapshot_meta_free(&meta);
	if (!bytes || length > max_size) {
		free(bytes);
		return 0;
	}
	memcpy(data, bytes, length);
	free(bytes);
	return length;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed)
{
	const struct snapshot_header *header = (const struct snapshot_header *)data;
	struct snapshot snapshot;
	struct why why;
	size_t length = 0;
	uint8_t *meta;

	if (size > sizeof(*header) && pick(&seed, 2)) {
		meta = malloc(size);
		if (!meta)
			abort();
		memcpy(meta, data, size);
		if (!snapshot_parse(&snapshot, meta, size,
				    header->table_offset + header->table_size, &why))
			length = restructure(data, max_size, &snapshot, &seed);
		snapshot_close(&snapshot);
	}
	if (!length)
		length = LLVMFuzzerMutate(data, size, max_size);
	if (length > sizeof(*header))
		repair(data, length);
	return length;
}

/* --- The target --- */

/* Writes the same snapshot, each group in another order: what diff compares it with. */
static void
write_other(const uint8_t *data, size_t size)
{
	const struct snapshot_header *header = (const struct snapshot_header *)data;
	struct snapshot_header copy = *header;
	struct snapshot_meta meta = { 0 };
	struct snapshot s;
	struct why why;
	uint8_t *bytes = malloc(size);

	if (!bytes)
		abort();
	memcpy(bytes, data, size);
	if (snapshot_parse(&s, bytes, size, header->table_offset + header->table_size, &why)) {
		snapshot_close(&s);
		write_file(reading.other, data, size);
		return;
	}
	for (uint32_t i = 0; i < s.header.sections; i++) {
		struct costly_bytes body = { .data = NULL };
		struct change change = { .at = ALL, .reverse = true };

		if (s.sections[i].data)
			copy_items(&body, &s.sections[i], &change);
		else
			memcpy(costly_extend(&body, s.rows[i].length),
			       (const uint8_t *)s.rows + s.rows[i].offset, s.rows[i].length);
		snapshot_meta_add(&meta, s.rows[i].tag, s.rows[i].index, s.rows[i].flags, body.data,
				  body.length);
		free(body.data);
	}
	bytes = snapshot_meta_seal(&meta, &copy, s.header.memory_size);
	if (!bytes)
		abort();
	write_file(reading.other, bytes, snapshot_meta_size(&meta));
	free(bytes);
	snapshot_meta_free(&meta);
	snapshot_close(&s);
}

static uint64_t
cpu_time(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void
measure(const struct reader *reader, size_t size)
{
	uint64_t before, taken = UINT64_MAX, allowed = TIME_BASE + TIME_BYTE * size;
	long used = heap;

	heap_peak = used;
	for (int i = 0; i < TIME_ROUNDS && taken > allowed; i++) {
		before = cpu_time();
		reader->run(&reading);
		fflush(stdout);
		before = cpu_time() - before;
		taken = before < taken ? before : taken;
	}
	if (taken <= allowed && heap_peak - used <= HEAP_BASE + HEAP_BYTE * (long)size)
		return;
	/* stderr is closed; libFuzzer's -close_fd_mask keeps its own. */
	fprintf(stderr, "%s: %zu bytes cost %llu ms and %ld KiB\n", reader->name, size,
		(unsigned long long)taken / 1000000, (heap_peak - used) >> 10);
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct snapshot_header *header = (const struct snapshot_header *)data;
	struct costly_bytes other = { .data = NULL };

	if (size <= sizeof(*header) + sizeof(struct snapshot_row))
		return 0;
	memcpy(costly_extend(&other, size), data, size);
	repair(other.data, size);
	write_file(reading.path, other.data, size);
	write_other(other.data, size);
	if (header->memory_size < 1u << 20)
		reader_make_stream(&reading, 1u << size % 17);
	else if (access(reading.stream, F_OK))
		reader_put(open(reading.stream, O_WRONLY | O_CREAT | O_CLOEXEC, 0600), "", 0);
	for (size_t i = 0; i < READERS; i++)
		measure(&readers[i], size);
	free(other.data);
	return 0;
}
