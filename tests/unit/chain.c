/* SPDX-License-Identifier: BSD-2-Clause */
/* The limits of a chain of snapshots, when a diff is requested and when it is opened. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "snapshot/capture.h"
#include "snapshot_sample.h"

/* Requests a diff. The refusal does not use the machine. */
static int
request_diff(struct capture *capture)
{
	return capture_start(capture,
			     &(struct capture_request){ .path = "x", .fd = -1, .diff = true });
}

static void
refused_when_requested(void **state)
{
	struct capture capture = { .base = { .known = true } };

	capture.base.ancestor_count = SNAPSHOT_CHAIN_MAX;
	assert_int_equal(request_diff(&capture), -STATUS_USAGE);
	assert_non_null(strstr(fail_text(), "cannot write snapshot x: the chain of 400 snapshots"));
	capture.base.ancestor_count = 2;
	capture.base.metadata = SNAPSHOT_CHAIN_META_MAX - SNAPSHOT_META_MAX + 1;
	assert_int_equal(request_diff(&capture), -STATUS_USAGE);
	assert_non_null(strstr(fail_text(), "cannot write snapshot x: the chain of 2 snapshots"));
	assert_non_null(strstr(fail_text(), "take a full snapshot"));
}

/* Writes FOLDER/NUMBER: one page of memory, a skippable section of length bytes, an id that begins
 * with number. Returns its checksum. */
static uint32_t
write_file(const char *folder, uint8_t number, uint32_t parent_checksum, size_t length)
{
	struct snapshot_header header = { .id = { number }, .parent_checksum = parent_checksum };
	struct snapshot_meta meta = { 0 };
	char path[128];
	uint8_t *bytes, one = 1;
	int fd;

	header.parent[0] = parent_checksum ? (uint8_t)(number - 1) : 0;
	sample_sections(&meta);
	sample_memory(&meta, PAGE_SIZE);
	if (parent_checksum)
		snapshot_meta_add(&meta, SECTION_PAGES, 0, 0, &one, 1);
	snapshot_meta_add(&meta, 0x58585858, 0, SECTION_SKIPPABLE, NULL, length);
	bytes = snapshot_meta_seal(&meta, &header, PAGE_SIZE);
	assert_non_null(bytes);
	snprintf(path, sizeof(path), "%s/%u", folder, number);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, sizeof(header), 0), sizeof(header));
	/* The hole reads as zeros. */
	assert_int_equal(pwrite(fd, bytes + sizeof(header), header.table_size - length,
				(off_t)header.table_offset),
			 (ssize_t)(header.table_size - length));
	assert_int_equal(ftruncate(fd, (off_t)(header.table_offset + header.table_size)), 0);
	close(fd);
	free(bytes);
	snapshot_meta_free(&meta);
	return header.checksum;
}

/* Three files with 200 MiB of metadata exceed the limit of a chain, two do not. */
static void
metadata_of_a_chain(void **state)
{
	char folder[] = "/tmp/minivmm-unit-XXXXXX", paths[3][64];
	char *given[] = { paths[0], paths[1], paths[2] };
	struct snapshot snapshot;
	uint32_t checksum = 0;

	assert_non_null(mkdtemp(folder));
	for (uint8_t i = 0; i < 3; i++) {
		checksum = write_file(folder, i + 1, checksum, 200u << 20);
		snprintf(paths[i], sizeof(paths[i]), "%s/%u", folder, i + 1u);
	}
	assert_int_equal(snapshot_open_chain(&snapshot, paths[1], given, 3), 0);
	snapshot_close(&snapshot);
	assert_int_equal(snapshot_open_chain(&snapshot, paths[2], given, 3), -STATUS_SNAPSHOT);
	assert_non_null(strstr(fail_text(), "/1 is in a chain with more than 512 MiB"));
	snapshot_close(&snapshot);
	for (size_t i = 0; i < 3; i++)
		unlink(paths[i]);
	rmdir(folder);
}

#define CHUNKS 4u
#define DATA 20u /* a page of the parent that is not a hole */

/* Writes FOLDER/NUMBER with memory of holes but for a page, which its checksums do not say. Returns
 * the checksum. */
static uint32_t
write_holes(const char *path, uint8_t number, uint32_t parent_checksum)
{
	struct snapshot_header header = { .id = { number }, .parent_checksum = parent_checksum };
	struct snapshot_meta meta = { 0 };
	uint8_t *bytes, held[CHUNKS * SNAPSHOT_CHUNK / PAGE_SIZE / 8] = { 1 };
	int fd;

	header.parent[0] = parent_checksum ? (uint8_t)(number - 1) : 0;
	sample_sections(&meta);
	sample_memory(&meta, CHUNKS * SNAPSHOT_CHUNK);
	memset(meta.body.data + meta.rows[meta.count - 1].offset, 1, CHUNKS * 4);
	if (parent_checksum)
		snapshot_meta_add(&meta, SECTION_PAGES, 0, 0, held, sizeof(held));
	bytes = snapshot_meta_seal(&meta, &header, CHUNKS * SNAPSHOT_CHUNK);
	assert_non_null(bytes);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, sizeof(header), 0), sizeof(header));
	assert_int_equal(
	    pwrite(fd, bytes + sizeof(header), header.table_size, (off_t)header.table_offset),
	    (ssize_t)header.table_size);
	if (!parent_checksum)
		assert_int_equal(
		    pwrite(fd, "x", 1, (off_t)(SNAPSHOT_MEMORY_OFFSET + DATA * PAGE_SIZE)), 1);
	close(fd);
	free(bytes);
	snapshot_meta_free(&meta);
	return header.checksum;
}

/* Holes cost nothing: they are not read, whatever the checksums say. */
static void
holes_of_a_chain(void **state)
{
	char folder[] = "/tmp/minivmm-unit-XXXXXX", paths[2][64];
	char *given[] = { paths[0] };
	struct snapshot snapshot;
	uint32_t checksum = 0;

	assert_non_null(mkdtemp(folder));
	for (uint8_t i = 0; i < 2; i++) {
		snprintf(paths[i], sizeof(paths[i]), "%s/%u", folder, i);
		checksum = write_holes(paths[i], i + 1, checksum);
	}
	assert_int_equal(snapshot_open_chain(&snapshot, paths[1], given, 1), 0);
	for (uint64_t at = 0; at < CHUNKS * SNAPSHOT_CHUNK; at += SNAPSHOT_CHUNK)
		assert_int_equal(snapshot_known_zero(&snapshot, SAMPLE_GPA + at, SNAPSHOT_CHUNK),
				 at / SNAPSHOT_CHUNK != DATA * PAGE_SIZE / SNAPSHOT_CHUNK);
	snapshot_close(&snapshot);
	for (size_t i = 0; i < 2; i++)
		unlink(paths[i]);
	rmdir(folder);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_when_requested),
		cmocka_unit_test(metadata_of_a_chain),
		cmocka_unit_test(holes_of_a_chain),
	};

	return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
