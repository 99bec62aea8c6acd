/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzzes the snapshot reader with any metadata, and with the same after its checksums are
 * corrected, so that the code behind them is reached. Accepted snapshots go through everything that
 * walks them.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/decode.h"
#include "cli/show.h"
#include "config/config.h"
#include "snapshot/crc.h"
#include "snapshot/host.h"
#include "snapshot/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
ignore(void *context, const char *path, const struct record *a, const struct record *b)
{
	size_t *count = context;

	*count += strlen(path);
}

static void
walk_section(FILE *out, const struct record *section)
{
	struct view view = { 0 };
	size_t count = 0;

	show_group(out, section, 0);
	record_print(out, section, "");
	record_print_json(out, section, 0);
	if (record_compare(section, section, "", ignore, &count))
		abort(); /* differs from itself */
	if (!view_vcpu(&view, section)) {
		show_group(out, &view.root, 0);
		record_compare(section, &view.root, "", ignore, &count);
	}
	view_free(&view);
}

/* The snapshot as its own parent, and the checks of a chain on both. */
static void
walk_chain(struct snapshot *child)
{
	struct snapshot parent = *child;
	uint64_t pages = child->header.memory_size / PAGE_SIZE, held = 0;

	parent.pages = NULL;
	parent.parent = NULL;
	for (int with_parent = 0; with_parent < 2; with_parent++) {
		child->parent = with_parent ? &parent : NULL;
		for (uint64_t page = 0; page < pages; page++)
			held += snapshot_holds(child, page) + snapshot_page_zero(child, page);
	}
	child->parent = NULL;
	if (held > 4 * pages)
		abort();
}

static void
walk(FILE *out, struct snapshot *snapshot)
{
	struct snapshot_chunk chunk = { 0 };
	struct config config;
	char text[256];
	struct why why;
	uint64_t bytes = 0;

	for (uint32_t i = 0; i < snapshot->header.sections; i++)
		if (snapshot->sections[i].data)
			walk_section(out, &snapshot->sections[i]);
	snapshot_host_text(snapshot_section(snapshot, SECTION_HOST, 0), text, sizeof(text));
	while (snapshot_chunk_next(snapshot, &chunk))
		bytes += chunk.size;
	if (bytes != snapshot->header.memory_size)
		abort(); /* chunks must cover memory */
	if (snapshot->pages)
		walk_chain(snapshot);
	memset(&config, 0, sizeof(config));
	config_load(&config, snapshot_section(snapshot, SECTION_CONFIG, 0), &why);
	config_free(&config);
}

static void
parse(FILE *out, const uint8_t *bytes, size_t length, uint64_t file_size)
{
	struct snapshot snapshot;
	uint8_t *copy = malloc(length ? length : 1);
	struct why why = { 0 };

	if (!copy)
		return;
	memcpy(copy, bytes, length);
	if (!snapshot_parse(&snapshot, copy, length, file_size, &why))
		walk(out, &snapshot);
	else if (!why.text[0])
		abort(); /* refused without a reason */
	snapshot_close(&snapshot);
}

/* Corrects the sizes and checksums. */
static void
make_right(uint8_t *bytes, size_t size)
{
	struct snapshot_header *header = (struct snapshot_header *)bytes;
	struct snapshot_row *rows = (struct snapshot_row *)(header + 1);
	uint64_t table, room = size - sizeof(*header);

	header->sections %= (size - sizeof(*header)) / sizeof(*rows) + 1;
	header->table_size = room;
	header->memory_offset = SNAPSHOT_MEMORY_OFFSET;
	header->table_offset = SNAPSHOT_MEMORY_OFFSET + header->memory_size;
	table = header->sections * sizeof(*rows);
	for (uint32_t i = 0; i < header->sections; i++)
		if (rows[i].offset <= room && rows[i].length <= room - rows[i].offset)
			rows[i].checksum =
			    crc32c(0, (uint8_t *)rows + rows[i].offset, rows[i].length);
	header->checksum = 0;
	header->checksum = crc32c(crc32c(0, header, sizeof(*header)), rows, table);
}

static uint64_t
file_size(const struct snapshot_header *header)
{
	return header->table_offset + header->table_size;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	struct snapshot_header header = { 0 };
	FILE *out = fopen("/dev/null", "w");

	if (!copy || !out)
		abort();
	memcpy(copy, data, size);
	memcpy(&header, data, size < sizeof(header) ? size : sizeof(header));
	parse(out, data, size, size);
	parse(out, data, size, file_size(&header));
	if (size >= sizeof(header)) {
		make_right(copy, size);
		parse(out, copy, size, file_size((struct snapshot_header *)copy));
	}
	fclose(out);
	free(copy);
	return 0;
}
