/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a paused machine to a snapshot file. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "machine/machine.h"
#include "plugin/device.h"
#include "snapshot/output.h"
#include "snapshot/snapshot.h"

static void
memory_map_save(const struct memory *memory, struct record_writer *writer)
{
	record_begin(writer, "regions", RECORD_LIST);
	for (uint32_t i = 0; i < memory->count; i++) {
		record_begin(writer, NULL, RECORD_GROUP);
		record_put_u64(writer, "gpa", memory->regions[i].gpa);
		record_put_u64(writer, "size", memory->regions[i].size);
		record_put_u64(writer, "offset", memory->regions[i].offset);
		record_end(writer);
	}
	record_end(writer);
}

static uint64_t
chunks(const struct memory *memory)
{
	uint64_t count = 0;

	for (uint32_t i = 0; i < memory->count; i++)
		count += (memory->regions[i].size + SNAPSHOT_CHUNK - 1) / SNAPSHOT_CHUNK;
	return count;
}

/*
 * Devices first, then vCPUs, then chips: saving the former may inject an interrupt into the latter.
 * What fails has said so.
 */
static int
save_state(struct snapshot_meta *meta, struct machine *machine, struct devices *devices)
{
	struct record_writer writer = { 0 };
	int failed = 0;

	config_save(devices->config, &writer);
	snapshot_meta_add_record(meta, SECTION_CONFIG, 0, &writer);
	snapshot_host_save(&writer);
	snapshot_meta_add_record(meta, SECTION_HOST, 0, &writer);
	for (size_t i = 0; !failed && i < devices->count; i++) {
		failed = device_save(&devices->list[i], &writer);
		snapshot_meta_add_record(meta, SECTION_DEVICE, (uint32_t)i, &writer);
	}
	for (uint32_t i = 0; !failed && i < machine->vcpu_count; i++) {
		failed = vcpu_save(&machine->vcpus[i], &writer);
		snapshot_meta_add_record(meta, SECTION_VCPU, i, &writer);
	}
	if (!failed) {
		failed = machine_save(machine, &writer);
		snapshot_meta_add_record(meta, SECTION_VM, 0, &writer);
	}
	return failed;
}

#define CHUNK_PAGES (SNAPSHOT_CHUNK / PAGE_SIZE)
_Static_assert(CHUNK_PAGES < 32, "a bit for each page of a chunk");

/* Of the pages that may hold something else than zeros, those that do. */
static uint32_t
data_pages(const uint8_t *chunk, uint32_t candidates)
{
	uint32_t pages = 0;

	for (uint32_t i = 0; i < CHUNK_PAGES; i++)
		if (candidates >> i & 1 && !snapshot_zero(chunk + i * PAGE_SIZE, PAGE_SIZE))
			pages |= 1u << i;
	return pages;
}

/*
 * Writes the pages of a chunk that are not zero, a call for each run of them; the rest stays a
 * hole. The chunk is looked through, summed and written while it is in the cache; pages that can
 * only be zero are not touched.
 */
static int
write_chunk(struct output *output, const uint8_t *chunk, uint32_t count, uint32_t candidates,
	    uint64_t offset, uint32_t *sum)
{
	static const uint8_t zeros[PAGE_SIZE];
	uint32_t pages = data_pages(chunk, candidates), begin, end, crc = 0;
	int failed = 0;

	*sum = 0;
	for (begin = 0; pages && begin < count && !failed; begin = end) {
		const uint8_t *from = chunk + begin * PAGE_SIZE;

		for (end = begin + 1; end < count && (pages >> end & 1) == (pages >> begin & 1);)
			end++;
		if (pages >> begin & 1) {
			crc = crc32c(crc, from, (end - begin) * PAGE_SIZE);
			failed = output_write(output, from, (end - begin) * PAGE_SIZE,
					      offset + begin * PAGE_SIZE);
		} else
			for (uint32_t i = begin; i < end; i++)
				crc = crc32c(crc, zeros, PAGE_SIZE);
	}
	if (pages)
		*sum = crc ? crc : 1;
	return failed;
}

static int
write_region(struct output *output, const struct memory_region *region, uint64_t offset,
	     uint8_t *sums)
{
	struct memory_scan scan;
	int failed = 0;

	memory_scan_open(&scan, region);
	for (uint64_t at = 0; !failed && at < region->size; at += SNAPSHOT_CHUNK) {
		uint64_t left = (region->size - at) / PAGE_SIZE;
		uint32_t count = left < CHUNK_PAGES ? (uint32_t)left : CHUNK_PAGES, sum;

		failed = write_chunk(output, region->host + at, count,
				     memory_scan_pages(&scan, at, count), offset + at, &sum);
		memcpy(sums + at / SNAPSHOT_CHUNK * sizeof(sum), &sum, sizeof(sum));
	}
	memory_scan_close(&scan);
	return failed;
}

static int
write_memory(struct output *output, const struct memory *memory, uint64_t offset, uint8_t *sums)
{
	int failed = 0;

	for (uint32_t i = 0; i < memory->count && !failed; i++) {
		const struct memory_region *region = &memory->regions[i];

		failed = write_region(output, region, offset + region->offset, sums);
		sums += (region->size + SNAPSHOT_CHUNK - 1) / SNAPSHOT_CHUNK * sizeof(uint32_t);
	}
	return failed;
}

/* The metadata comes last, since it holds the checksums of the memory. */
static int
write_all(struct output *output, struct snapshot_meta *meta, const struct memory *memory)
{
	struct snapshot_header header = { 0 };
	uint64_t end = snapshot_meta_end(meta);
	uint8_t *bytes;
	int failed;

	if (getrandom(header.id, sizeof(header.id), 0) != sizeof(header.id))
		return fail(STATUS_HOST, "can't write snapshot %s: no random id", output->path);
	failed = output_resize(output, end + memory->size);
	if (!failed)
		failed = write_memory(output, memory, end,
				      meta->body + meta->rows[meta->count - 1].offset);
	if (failed)
		return failed;
	bytes = snapshot_meta_seal(meta, &header, memory->size);
	if (!bytes)
		return fail(STATUS_HOST, "can't write snapshot %s: no memory", output->path);
	failed = output_write(output, bytes, end, 0);
	free(bytes);
	return failed ? failed : output_commit(output);
}

int
snapshot_write_file(const char *path, struct snapshot_meta *meta, const struct memory *memory)
{
	struct record_writer writer = { 0 };
	struct output output;
	int failed;

	memory_map_save(memory, &writer);
	snapshot_meta_add_record(meta, SECTION_MEMORY, 0, &writer);
	snapshot_meta_add(meta, SECTION_SUMS, 0, 0, NULL, chunks(memory) * sizeof(uint32_t));
	if (meta->no_memory)
		return fail(STATUS_HOST, "can't write snapshot %s: no memory", path);
	if (meta->failed)
		return fail(STATUS_BUG, "can't write snapshot %s: its records can't be built",
			    path);
	if (snapshot_meta_end(meta) > SNAPSHOT_META_MAX || meta->count > SNAPSHOT_SECTIONS_MAX)
		return fail(STATUS_USAGE,
			    "can't write snapshot %s: the machine is too large for one", path);
	failed = output_open(&output, path);
	if (!failed)
		failed = write_all(&output, meta, memory);
	output_close(&output);
	return failed;
}

int
snapshot_write(const char *path, struct machine *machine, struct devices *devices)
{
	struct snapshot_meta meta = { 0 };
	int failed = save_state(&meta, machine, devices);

	if (!failed)
		failed = snapshot_write_file(path, &meta, &machine->memory);
	snapshot_meta_free(&meta);
	return failed;
}
