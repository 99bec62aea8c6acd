/* SPDX-License-Identifier: BSD-2-Clause */
/* The snapshot reader with damaged, truncated and hostile files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "snapshot/crc.h"
#include "snapshot/reader.h"
#include "snapshot_sample.h"

#define MEMORY 0x4000u

/* Returns header, table and sections, malloced. Frees meta. */
static uint8_t *
sealed(struct snapshot_meta *meta, uint64_t memory_size, size_t *length)
{
	struct snapshot_header header = { .id = { 1, 2, 3 } };
	uint8_t *bytes = snapshot_meta_seal(meta, &header, memory_size);

	assert_non_null(bytes);
	*length = snapshot_meta_size(meta);
	snapshot_meta_free(meta);
	return bytes;
}

static uint8_t *
sample(size_t *length)
{
	struct snapshot_meta meta = { 0 };

	sample_sections(&meta);
	sample_memory(&meta, MEMORY);
	return sealed(&meta, MEMORY, length);
}

static uint64_t
file_size(size_t length, uint64_t memory)
{
	return SNAPSHOT_MEMORY_OFFSET + memory + length - sizeof(struct snapshot_header);
}

/* Makes the checksums valid again after a change. */
static void
reseal(uint8_t *bytes, size_t length)
{
	struct snapshot_header *header = (struct snapshot_header *)bytes;
	struct snapshot_row *rows = (struct snapshot_row *)(bytes + sizeof(*header));
	uint64_t table = (uint64_t)header->sections * sizeof(*rows),
		 room = length - sizeof(*header);

	if (table > room)
		table = 0;
	for (uint32_t i = 0; i < table / sizeof(*rows); i++)
		if (rows[i].offset <= room && rows[i].length <= room - rows[i].offset)
			rows[i].checksum =
			    crc32c(0, (uint8_t *)rows + rows[i].offset, rows[i].length);
	header->checksum = 0;
	header->checksum = crc32c(crc32c(0, header, sizeof(*header)), rows, table);
}

/* Parses bytes, which it frees, and expects an error with this text; NULL: expects success. */
static void
expect(uint8_t *bytes, size_t length, uint64_t file_size, const char *text)
{
	struct snapshot snapshot;
	struct why why;
	int refused = snapshot_parse(&snapshot, bytes, length, file_size, &why);

	snapshot_close(&snapshot);
	if (text && (!refused || !strstr(why.text, text)))
		fail_msg("expected \"%s\", got \"%s\"", text, refused ? why.text : "(accepted)");
	if (!text && refused)
		fail_msg("refused: %s", why.text);
}

static void
accepts_sample(void **state)
{
	struct snapshot snapshot;
	const struct record *vcpu;
	struct record regs;
	size_t length;
	uint8_t *bytes = sample(&length);
	uint64_t rax;
	struct why why;

	assert_int_equal(snapshot_parse(&snapshot, bytes, length, file_size(length, MEMORY), &why),
			 0);
	assert_int_equal(snapshot.region_count, 1);
	assert_int_equal(snapshot.regions[0].gpa, SAMPLE_GPA);
	vcpu = snapshot_section(&snapshot, SECTION_VCPU, 0);
	assert_non_null(vcpu);
	assert_true(record_find(vcpu, "regs", &regs));
	assert_true(record_get_u64(&regs, "rax", &rax));
	assert_int_equal(rax, 4);
	assert_null(snapshot_section(&snapshot, SECTION_VCPU, 1));
	snapshot_close(&snapshot);
}

static void
every_flipped_byte(void **state)
{
	static const uint8_t flips[] = { 0x01, 0x80, 0xff };
	size_t length;
	uint8_t *bytes = sample(&length);

	for (size_t i = 0; i < length; i++)
		for (size_t j = 0; j < sizeof(flips); j++) {
			uint8_t *copy = malloc(length);

			assert_non_null(copy);
			memcpy(copy, bytes, length);
			copy[i] ^= flips[j];
			expect(copy, length, file_size(length, MEMORY), " ");
		}
	free(bytes);
}

static void
every_truncation(void **state)
{
	size_t length;
	uint8_t *bytes = sample(&length);

	for (uint64_t size = 0; size < file_size(length, MEMORY); size++) {
		size_t part = size < length ? (size_t)size : length;
		uint8_t *copy = malloc(part ? part : 1);

		assert_non_null(copy);
		memcpy(copy, bytes, part);
		expect(copy, part, size, size < 8 ? "is not a snapshot" : "is truncated");
	}
	expect(bytes, length, file_size(length, MEMORY) + 1, "1 bytes follow its end");
}

/* Changes one number in the header and makes the checksum valid. */
#define HEADER(member, wrong, text)                                                                \
	do {                                                                                       \
		size_t length_;                                                                    \
		uint8_t *bytes_ = sample(&length_);                                                \
		((struct snapshot_header *)bytes_)->member = (wrong);                              \
		reseal(bytes_, length_);                                                           \
		expect(bytes_, length_, file_size(length_, MEMORY), text);                         \
	} while (0)

static void
hostile_header(void **state)
{
	HEADER(magic[0], 'm', "is not a snapshot");
	HEADER(version, 2, "has snapshot format 2, but this minivmm reads format 1");
	HEADER(version, 0, "has snapshot format 0");
	HEADER(header_size, 88, "its header is inconsistent");
	HEADER(page_size, 65536, "its header is inconsistent");
	HEADER(sections, 0, "its header is inconsistent");
	HEADER(sections, UINT32_MAX, "its header is inconsistent");
	HEADER(sections, SNAPSHOT_SECTIONS_MAX, "sizes in its header are inconsistent");
	HEADER(sections, 6, "section CONF 0 has a wrong offset or length");
	HEADER(parent_checksum, 1, "its header is inconsistent");
	HEADER(parent[15], 1, "it has a parent or a page bitmap, but not both");
	HEADER(table_size, 0, "sizes in its header are inconsistent");
	HEADER(table_size, UINT64_MAX, "sizes in its header are inconsistent");
	HEADER(table_size, SNAPSHOT_META_MAX + 1ull, "sizes in its header are inconsistent");
	HEADER(table_offset, 0, "sizes in its header are inconsistent");
	HEADER(table_offset, UINT64_MAX, "sizes in its header are inconsistent");
	HEADER(memory_offset, 0, "sizes in its header are inconsistent");
	HEADER(memory_offset, PAGE_SIZE + 1, "sizes in its header are inconsistent");
	HEADER(memory_size, 0, "sizes in its header are inconsistent");
	HEADER(memory_size, MEMORY + 1, "sizes in its header are inconsistent");
	HEADER(memory_size, UINT64_MAX - 4095, "sizes in its header are inconsistent");
	HEADER(memory_size, 1ull << 62, "sizes in its header are inconsistent");
	HEADER(memory_size, MEMORY - PAGE_SIZE, "sizes in its header are inconsistent");
}

/* Changes one number in a row of the table and makes the checksums valid. */
#define ROW(number, member, wrong, text)                                                           \
	do {                                                                                       \
		size_t length_;                                                                    \
		uint8_t *bytes_ = sample(&length_);                                                \
		((struct snapshot_row *)(bytes_ + sizeof(struct snapshot_header)))[number]         \
		    .member = (wrong);                                                             \
		reseal(bytes_, length_);                                                           \
		expect(bytes_, length_, file_size(length_, MEMORY), text);                         \
	} while (0)

static void
hostile_table(void **state)
{
	const uint32_t unknown = 0x57454e20; /* " NEW" */

	ROW(0, offset, 0, "CONF 0 has a wrong offset or length");
	ROW(1, offset, UINT64_MAX, "HOST 0 has a wrong offset or length");
	ROW(0, length, UINT64_MAX, "CONF 0 has a wrong offset or length");
	ROW(0, length, 0, "HOST 0 has a wrong offset or length");
	ROW(6, length, 3, "bytes follow its last section");
	ROW(2, index, 1, "DEVI 1 is a duplicate or out of order");
	ROW(3, index, UINT32_MAX, "VCPU 4294967295 is a duplicate or out of order");
	ROW(0, tag, SECTION_HOST, "section");
	ROW(2, tag, SECTION_VM, "duplicate or out of order");
	ROW(0, flags, 2, "section CONF that this minivmm does not know");
	ROW(2, tag, unknown, "section ?NEW that this minivmm does not know");
	/* An unknown section is skipped only if it is skippable. */
	for (int flags = 0; flags < 2; flags++) {
		size_t length;
		uint8_t *bytes = sample(&length);
		struct snapshot_row *rows =
		    (struct snapshot_row *)(bytes + sizeof(struct snapshot_header));

		rows[2].tag = unknown;
		rows[2].flags = flags ? SECTION_SKIPPABLE : 0;
		reseal(bytes, length);
		expect(bytes, length, file_size(length, MEMORY), flags ? NULL : "does not know");
	}
}

/* Leaves out each section: an error, unless the file may lack it. */
static void
missing_sections(void **state)
{
	static const struct {
		uint32_t tag;
		const char *text;
	} needed[] = {
		{ SECTION_CONFIG, "CONF is missing" },
		{ SECTION_HOST, "HOST is missing" },
		{ SECTION_VM, "VMVM is missing" },
		{ SECTION_VCPU, "VCPU is missing" },
		{ SECTION_MEMORY, "MEMR is missing" },
		{ SECTION_SUMS, "SUMS is missing" },
		{ SECTION_DEVICE, NULL },
	};

	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		struct snapshot_meta all = { 0 }, some = { 0 };
		size_t length;
		uint8_t *bytes;

		sample_sections(&all);
		sample_memory(&all, MEMORY);
		for (size_t j = 0; j < all.count; j++)
			if (all.rows[j].tag != needed[i].tag)
				snapshot_meta_add(&some, all.rows[j].tag, all.rows[j].index, 0,
						  all.body.data + all.rows[j].offset,
						  all.rows[j].length);
		snapshot_meta_free(&all);
		bytes = sealed(&some, MEMORY, &length);
		expect(bytes, length, file_size(length, MEMORY), needed[i].text);
	}
}

/* A file with this memory map, total bytes of memory and sums bytes of checksums. */
static void
map(const struct snapshot_region *regions, size_t count, uint64_t total, uint64_t sums,
    const char *text)
{
	struct snapshot_meta meta = { 0 };
	struct record_writer *writer;
	size_t length;
	uint8_t *bytes;

	sample_sections(&meta);
	writer = snapshot_meta_begin(&meta, SECTION_MEMORY, 0, 0);
	record_begin(writer, "regions", RECORD_LIST);
	for (size_t i = 0; i < count; i++)
		sample_region(writer, regions[i].gpa, regions[i].size, regions[i].offset);
	record_end(writer);
	snapshot_meta_end(&meta);
	snapshot_meta_add(&meta, SECTION_SUMS, 0, 0, NULL, sums);
	bytes = sealed(&meta, total, &length);
	expect(bytes, length, file_size(length, total), text);
}

#define MAP(total, sums, text, ...)                                                                \
	do {                                                                                       \
		const struct snapshot_region map_[] = { __VA_ARGS__ };                             \
		map(map_, sizeof(map_) / sizeof(map_[0]), total, sums, text);                      \
	} while (0)

static void
hostile_memory(void **state)
{
	MAP(0x2000, 4, NULL, { 0x1000, 0x2000, 0 });
	MAP(0x21000, 12, NULL, { 0x1000, 0x11000, 0 }, { 0x100000, 0x10000, 0x11000 });
	MAP(0x2000, 12, "checksums are for another memory size", { 0x1000, 0x2000, 0 });
	MAP(0x2000, 0, "checksums are for another memory size", { 0x1000, 0x2000, 0 });
	MAP(0x21000, 16, "checksums are for another", { 0, 0x11000, 0 },
	    { 0x20000, 0x10000, 0x11000 });
	MAP(0x2000, 4, "is inconsistent", { 0x1001, 0x2000, 0 });
	MAP(0x2000, 4, "is inconsistent", { 0x1000, 0x2001, 0 });
	MAP(0x2000, 4, "is inconsistent", { 0x1000, 0, 0 });
	MAP(0x2000, 4, "is inconsistent", { 0x1000, 0x2000, 0x1000 });
	MAP(0x2000, 4, "is inconsistent", { 0x1000, 0x3000, 0 });
	MAP(0x2000, 4, "is inconsistent", { UINT64_MAX - 0xfff, 0x2000, 0 });
	MAP(0x2000, 4, "is inconsistent", { 0x1000, UINT64_MAX - 0xfff, 0 });
	MAP(0x2000, 4, "does not cover", { 0x1000, 0x1000, 0 });
	MAP(0x2000, 8, "overlap", { 0x1000, 0x1000, 0 }, { 0x1000, 0x1000, 0x1000 });
	MAP(0x5000, 8, "overlap", { 0x1000, 0x3000, 0 }, { 0x2000, 0x1000, 0x3000 });
	MAP(0x5000, 20, "more than 4 memory regions", { 0x1000, 0x1000, 0 },
	    { 0x2000, 0x1000, 0x1000 }, { 0x3000, 0x1000, 0x2000 }, { 0x4000, 0x1000, 0x3000 },
	    { 0x5000, 0x1000, 0x4000 });
	map(NULL, 0, 0x2000, 0, "does not cover");
}

/* Invalid records in sections with valid checksums. */
static void
hostile_records(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
	} broken[] = {
		{ "\x01", 1 }, /* half an item */
		{ "\x81\x01"
		  "a\xff\xff\xff\xff"
		  "1234",
		  11 }, /* a count past the end */
		{ "\x84\x01"
		  "a\x01\x00\x00\x80",
		  7 }, /* count * width overflows */
		{ "\x01\x01"
		  "a\x02\x00\x00\x00"
		  "12",
		  9 }, /* a scalar with count 2 */
		{ "\x63\x01"
		  "a\x01\x00\x00\x00"
		  "1",
		  8 }, /* an unknown type */
		{ "\x07\x01"
		  "a\x40\x00\x00\x00"
		  "1",
		  8 }, /* a group past the end */
		{ "\x06\x01"
		  "a\x01\x00\x00\x00"
		  "\x00",
		  8 }, /* a text with a NUL */
		{ "\x01\xff"
		  "a\x01\x00\x00\x00"
		  "1",
		  8 }, /* a name past the end */
		{ "\x01\x01"
		  "a\x01\x00\x00\x00"
		  "1\x01\x01"
		  "a\x01\x00\x00\x00"
		  "1",
		  16 }, /* two items of one name */
	};

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		struct snapshot_meta meta = { 0 };
		size_t length;
		uint8_t *bytes;

		sample_sections(&meta);
		snapshot_meta_add(&meta, SECTION_DEVICE, 1, 0, broken[i].bytes, broken[i].length);
		sample_memory(&meta, MEMORY);
		bytes = sealed(&meta, MEMORY, &length);
		expect(bytes, length, file_size(length, MEMORY), "is damaged: section DEVI 1: ");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts_sample),   cmocka_unit_test(every_flipped_byte),
		cmocka_unit_test(every_truncation), cmocka_unit_test(hostile_header),
		cmocka_unit_test(hostile_table),    cmocka_unit_test(missing_sections),
		cmocka_unit_test(hostile_memory),   cmocka_unit_test(hostile_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
