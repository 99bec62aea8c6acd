/* SPDX-License-Identifier: BSD-2-Clause */
/* minivmm flatten: one snapshot of a chain of them. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"
#include "cli/show.h"
#include "snapshot/image.h"
#include "snapshot/reader.h"
#include "snapshot/sections.h"

static const char usage[] =
    "usage: minivmm flatten SNAPSHOT... -o FILE\n"
    "Writes the last of the snapshots, with all pages that it takes from the others\n"
    "or from files beside it, as one file that needs no parent.\n";

/* All sections but those of the memory, unchanged; unknown ones too. */
static void
copy_sections(const struct snapshot *snapshot, struct snapshot_meta *meta)
{
	const uint8_t *table = snapshot->meta + sizeof(snapshot->header);

	for (uint32_t i = 0; i < snapshot->header.sections; i++) {
		const struct snapshot_row *row = &snapshot->rows[i];
		const struct section *section = section_find(row->tag);

		if (!section || section->saved != SAVED_WITH_MEMORY)
			snapshot_meta_add(meta, row->tag, row->index, row->flags,
					  table + row->offset, row->length);
	}
}

/* Its memory as a machine would have it, without the bytes. */
static struct memory
memory_of(const struct snapshot *snapshot)
{
	struct memory memory = { .count = (uint32_t)snapshot->region_count,
				 .size = snapshot->header.memory_size };

	for (uint32_t i = 0; i < memory.count; i++)
		memory.regions[i] = (struct memory_region){ .gpa = snapshot->regions[i].gpa,
							    .size = snapshot->regions[i].size,
							    .offset = snapshot->regions[i].offset,
							    .fd = -1 };
	return memory;
}

/* Read, not mapped: a file that somebody truncates meanwhile is an error then, not a SIGBUS. */
static int
write_pages(struct image *image, const struct snapshot *snapshot, uint8_t buffer[SNAPSHOT_CHUNK])
{
	int failed = 0;

	for (uint32_t r = 0; r < image->memory->count; r++) {
		const struct memory_region *region = &image->memory->regions[r];

		for (uint64_t at = 0; at < region->size && !failed; at += SNAPSHOT_CHUNK) {
			uint64_t first = (region->offset + at) / PAGE_SIZE,
				 left = region->size - at;
			size_t size = left < SNAPSHOT_CHUNK ? left : SNAPSHOT_CHUNK;
			uint32_t wanted = 0;

			for (uint32_t i = 0; i < size / PAGE_SIZE; i++)
				wanted |= (uint32_t)!snapshot_page_zero(snapshot, first + i) << i;
			if (!wanted)
				continue;
			failed = snapshot_read(snapshot, region->gpa + at, buffer, size);
			if (!failed)
				failed = image_write_copy(image, first, buffer, wanted);
		}
	}
	return failed;
}

static int
flatten(const struct snapshot *snapshot, const char *path)
{
	struct snapshot_header header = { .version = 0 };
	struct snapshot_meta meta = { 0 };
	struct image image = { 0 };
	struct output output;
	struct memory memory = memory_of(snapshot);
	const struct file_id other = file_identify(path);
	uint8_t id[16];
	uint8_t *buffer;
	int failed = 0;

	for (const struct snapshot *s = snapshot; s; s = s->parent) {
		const struct file_id own = file_identify_fd(s->fd);

		if (other.exists && file_same(&own, &other))
			return fail(
			    STATUS_USAGE,
			    "flatten: %s is one of the chain, and what differs from it would be "
			    "lost; give -o a file of its own",
			    path);
	}
	/* It may be the disk that the snapshot needs. */
	if (other.regular && other.size && !snapshot_peek_id(path, id))
		return fail(
		    STATUS_USAGE,
		    "flatten: %s is there already, and no snapshot; give -o a file of its own",
		    path);
	/* What is damaged must not get checksums that are right. */
	for (const struct snapshot *s = snapshot; s && !failed; s = s->parent)
		failed = snapshot_verify(s);
	if (failed)
		return failed;
	buffer = malloc(SNAPSHOT_CHUNK);
	if (!buffer)
		return fail(STATUS_HOST, "can't write snapshot %s: no memory", path);
	failed = output_open(&output, path);
	if (!failed && getrandom(header.id, sizeof(header.id), 0) != sizeof(header.id))
		failed = fail(STATUS_HOST, "can't write snapshot %s: no random id", path);
	if (!failed)
		failed = image_init(&image, &output, &memory);
	if (!failed)
		failed = output_resize(&output, SNAPSHOT_MEMORY_OFFSET + memory.size);
	if (!failed)
		failed = write_pages(&image, snapshot, buffer);
	copy_sections(snapshot, &meta);
	if (!failed)
		failed = image_commit(&image, &meta, &header, NULL);
	snapshot_meta_free(&meta);
	image_free(&image);
	output_close(&output);
	free(buffer);
	return failed;
}

int
cli_flatten(int argc, char **argv)
{
	const char *path = NULL;
	struct snapshot snapshot;
	int count = 0, failed;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--help")) {
			fputs(usage, stdout);
			return -show_end(stdout);
		}
		if (!strcmp(argv[i], "-o") && i + 1 < argc && !path)
			path = argv[++i];
		else if (argv[i][0] == '-')
			return -fail(STATUS_USAGE, "flatten: %s; see minivmm flatten --help",
				     strcmp(argv[i], "-o") ? "no such option"
							   : "-o needs one file, once");
		else
			argv[1 + count++] = argv[i];
	}
	if (!count || !path)
		return -fail(STATUS_USAGE, "flatten: minivmm flatten SNAPSHOT... -o FILE");
	failed = snapshot_open_chain(&snapshot, argv[count], argv + 1, (size_t)count);
	if (!failed)
		failed = flatten(&snapshot, path);
	snapshot_close(&snapshot);
	return -failed;
}
