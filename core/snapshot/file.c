/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens snapshot files and checks every byte of them that is not memory: nothing in them is
 * trusted. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "snapshot/snapshot.h"

#define why_not(...) (snprintf(why, why_size, __VA_ARGS__), -1)

/* What is known of each tag: how often its section must be there. */
static const struct kind {
	uint32_t tag, least, most;
	bool raw;
} kinds[] = {
	{ SECTION_CONFIG, 1, 1, false },
	{ SECTION_HOST, 1, 1, false },
	{ SECTION_VM, 1, 1, false },
	{ SECTION_VCPU, 1, 64, false },
	{ SECTION_DEVICE, 0, SNAPSHOT_SECTIONS_MAX, false },
	{ SECTION_MEMORY, 1, 1, false },
	{ SECTION_SUMS, 1, 1, true },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *
snapshot_tag_name(uint32_t tag, char *buffer)
{
	for (int i = 0; i < 4; i++) {
		char letter = (char)(tag >> 8 * i);

		buffer[i] = letter > ' ' && letter < 0x7f ? letter : '?';
	}
	buffer[4] = 0;
	return buffer;
}

static uint64_t
page_up(uint64_t value)
{
	return (value + PAGE_SIZE - 1) & ~(uint64_t)(PAGE_SIZE - 1);
}

/* Looks at what can be judged before the rest is read: is it a snapshot, and is it all there? */
static int
check_header(const struct snapshot_header *header, uint64_t file_size, char *why, size_t why_size)
{
	static const uint8_t zeros[16];
	uint64_t table_end, end;

	if (file_size < sizeof(header->magic) ||
	    memcmp(header->magic, SNAPSHOT_MAGIC, sizeof(header->magic)))
		return why_not("is not a snapshot: name a file that was written by --save or by "
			       "[snapshot] file");
	if (file_size < sizeof(*header))
		return why_not("is cut off after %llu bytes, inside its header: take it again",
			       (unsigned long long)file_size);
	if (header->version != SNAPSHOT_VERSION)
		return why_not("has snapshot format %u, this minivmm reads format %u: use the "
			       "minivmm that wrote it",
			       header->version, SNAPSHOT_VERSION);
	if (header->header_size != sizeof(*header) || header->page_size != PAGE_SIZE ||
	    !header->sections || header->sections > SNAPSHOT_SECTIONS_MAX || header->reserved)
		return why_not("is damaged: its header contradicts itself");
	if (memcmp(header->parent, zeros, sizeof(zeros)))
		return why_not("holds only what differs from another snapshot; this minivmm reads "
			       "whole ones");
	table_end = sizeof(*header) + header->sections * sizeof(struct snapshot_row);
	if (header->meta_size < table_end || header->meta_size > SNAPSHOT_META_MAX ||
	    header->memory_offset != page_up(header->meta_size) || !header->memory_size ||
	    header->memory_size % PAGE_SIZE ||
	    __builtin_add_overflow(header->memory_offset, header->memory_size, &end) ||
	    end > INT64_MAX)
		return why_not("is damaged: the sizes in its header contradict each other");
	if (file_size < end)
		return why_not("is cut off: %llu bytes of %llu are there: take it again",
			       (unsigned long long)file_size, (unsigned long long)end);
	if (file_size > end)
		return why_not("is damaged: %llu bytes follow its end",
			       (unsigned long long)(file_size - end));
	return 0;
}

static uint32_t
header_checksum(const uint8_t *meta)
{
	struct snapshot_header header;
	uint32_t crc;

	memcpy(&header, meta, sizeof(header));
	header.checksum = 0;
	crc = crc32c(0, &header, sizeof(header));
	return crc32c(crc, meta + sizeof(header), header.sections * sizeof(struct snapshot_row));
}

/* Each section begins where the one before ends, and is what its checksum says. */
static int
check_rows(struct snapshot *snapshot, uint32_t seen[KINDS], char *why, size_t why_size)
{
	uint64_t at =
	    sizeof(snapshot->header) + snapshot->header.sections * sizeof(struct snapshot_row);
	char name[5];

	for (uint32_t i = 0; i < snapshot->header.sections; i++) {
		const struct snapshot_row *row = &snapshot->rows[i];
		const uint8_t *data = snapshot->meta + at;
		const char *wrong;
		size_t kind = 0;

		snapshot_tag_name(row->tag, name);
		if (row->offset != at || row->length > snapshot->header.meta_size - at)
			return why_not("is damaged: section %s %u is not where it must be", name,
				       row->index);
		at += row->length;
		if (crc32c(0, data, row->length) != row->checksum)
			return why_not("is damaged: section %s %u does not match its checksum",
				       name, row->index);
		while (kind < KINDS && kinds[kind].tag != row->tag)
			kind++;
		if (row->flags & ~SECTION_SKIPPABLE ||
		    (kind == KINDS && !(row->flags & SECTION_SKIPPABLE)))
			return why_not("holds a section %s that this minivmm does not know: use "
				       "the minivmm that wrote it",
				       name);
		if (kind == KINDS)
			continue;
		if (row->index != seen[kind]++ || seen[kind] > kinds[kind].most)
			return why_not("is damaged: section %s %u is there twice or out of order",
				       name, row->index);
		if (kinds[kind].raw)
			continue;
		wrong = record_open(data, row->length, &snapshot->sections[i]);
		if (wrong)
			return why_not("is damaged: section %s %u: %s", name, row->index, wrong);
	}
	if (at != snapshot->header.meta_size)
		return why_not("is damaged: bytes follow its last section");
	for (size_t kind = 0; kind < KINDS; kind++)
		if (seen[kind] < kinds[kind].least)
			return why_not("is damaged: section %s is missing",
				       snapshot_tag_name(kinds[kind].tag, name));
	return 0;
}

/* The memory map: pages, one region after the other, none over another. */
static int
check_regions(struct snapshot *snapshot, char *why, size_t why_size)
{
	struct record list, item;
	size_t position = 0;
	uint64_t total = 0;

	if (!record_find(snapshot_section(snapshot, SECTION_MEMORY, 0), "regions", &list) ||
	    list.type != RECORD_LIST)
		return why_not("is damaged: its memory map has no regions");
	while (record_next(&list, &position, &item)) {
		struct snapshot_region *region = &snapshot->regions[snapshot->region_count];
		uint64_t end;

		if (snapshot->region_count == MEMORY_REGIONS)
			return why_not("has more than %u regions of memory", MEMORY_REGIONS);
		if (!record_get_u64(&item, "gpa", &region->gpa) ||
		    !record_get_u64(&item, "size", &region->size) ||
		    !record_get_u64(&item, "offset", &region->offset))
			return why_not("is damaged: a region of its memory map is incomplete");
		if (region->gpa % PAGE_SIZE || !region->size || region->size % PAGE_SIZE ||
		    __builtin_add_overflow(region->gpa, region->size, &end) ||
		    region->offset != total || region->size > snapshot->header.memory_size - total)
			return why_not("is damaged: its memory map contradicts itself");
		for (size_t i = 0; i < snapshot->region_count; i++)
			if (region->gpa < snapshot->regions[i].gpa + snapshot->regions[i].size &&
			    snapshot->regions[i].gpa < end)
				return why_not("is damaged: regions of its memory map overlap");
		total += region->size;
		snapshot->region_count++;
	}
	if (total != snapshot->header.memory_size)
		return why_not("is damaged: its memory map does not cover its memory");
	return 0;
}

static int
check_sums(struct snapshot *snapshot, char *why, size_t why_size)
{
	uint64_t chunks = 0;

	for (size_t i = 0; i < snapshot->region_count; i++)
		chunks += (snapshot->regions[i].size + SNAPSHOT_CHUNK - 1) / SNAPSHOT_CHUNK;
	for (uint32_t i = 0; i < snapshot->header.sections; i++)
		if (snapshot->rows[i].tag == SECTION_SUMS) {
			if (snapshot->rows[i].length != chunks * sizeof(uint32_t))
				return why_not("is damaged: it has checksums for another size of "
					       "memory");
			snapshot->sums = snapshot->meta + snapshot->rows[i].offset;
		}
	return 0;
}

int
snapshot_parse(struct snapshot *snapshot, uint8_t *meta, size_t length, uint64_t file_size,
	       char *why, size_t why_size)
{
	uint32_t seen[KINDS] = { 0 };

	memset(snapshot, 0, sizeof(*snapshot));
	snapshot->fd = -1;
	snapshot->meta = meta;
	memcpy(&snapshot->header, meta,
	       length < sizeof(snapshot->header) ? length : sizeof(snapshot->header));
	if (check_header(&snapshot->header, file_size, why, why_size))
		return -1;
	if (length != snapshot->header.memory_offset)
		return why_not("is cut off inside its metadata");
	if (header_checksum(meta) != snapshot->header.checksum)
		return why_not("is damaged: its header does not match its checksum");
	for (uint64_t i = snapshot->header.meta_size; i < length; i++)
		if (meta[i])
			return why_not("is damaged: bytes follow its last section");
	snapshot->rows = (const struct snapshot_row *)(meta + sizeof(snapshot->header));
	snapshot->sections = calloc(snapshot->header.sections, sizeof(*snapshot->sections));
	if (!snapshot->sections)
		return why_not("can't be read: no memory");
	if (check_rows(snapshot, seen, why, why_size) || check_regions(snapshot, why, why_size) ||
	    check_sums(snapshot, why, why_size))
		return -1;
	return 0;
}

/* Reads exactly length bytes of the file. Says what failed. */
static int
read_at(int fd, const char *path, void *to, size_t length, uint64_t offset)
{
	uint8_t *bytes = to;

	while (length) {
		ssize_t n = pread(fd, bytes, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return fail(STATUS_IO, "can't read snapshot %s: %s", path,
				    n ? strerror(errno) : "it became shorter meanwhile");
		bytes += n;
		offset += (size_t)n;
		length -= (size_t)n;
	}
	return 0;
}

int
snapshot_pread(const struct snapshot *snapshot, void *to, size_t length, uint64_t offset)
{
	return read_at(snapshot->fd, snapshot->path, to, length, offset);
}

int
snapshot_open(struct snapshot *snapshot, const char *path)
{
	struct snapshot_header header = { 0 };
	struct stat status;
	char why[512];
	uint8_t *meta;
	uint64_t size;
	int fd, failed;

	memset(snapshot, 0, sizeof(*snapshot));
	/* Non-blocking, so that a named pipe is refused below instead of waited for. */
	snapshot->fd = fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &status))
		return fail(status_for(errno, STATUS_SNAPSHOT), "can't open snapshot %s: %s", path,
			    strerror(errno));
	if (!S_ISREG(status.st_mode))
		return fail(STATUS_SNAPSHOT, "%s is not a snapshot: it is %s", path,
			    S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
	size = (uint64_t)status.st_size;
	failed = read_at(fd, path, &header, size < sizeof(header) ? size : sizeof(header), 0);
	if (failed)
		return failed;
	if (check_header(&header, size, why, sizeof(why)))
		return fail(STATUS_SNAPSHOT, "%s %s", path, why);
	meta = malloc(header.memory_offset);
	if (!meta)
		return fail(STATUS_HOST, "can't read snapshot %s: no memory", path);
	failed = read_at(fd, path, meta, header.memory_offset, 0);
	if (failed) {
		free(meta);
		return failed;
	}
	errno = 0;
	if (snapshot_parse(snapshot, meta, header.memory_offset, size, why, sizeof(why))) {
		snapshot->fd = fd;
		return fail(status_for(errno, STATUS_SNAPSHOT), "%s %s", path, why);
	}
	snapshot->fd = fd;
	snapshot->path = strdup(path);
	return snapshot->path ? 0 : fail(STATUS_HOST, "can't read snapshot %s: no memory", path);
}

void
snapshot_close(struct snapshot *snapshot)
{
	if (snapshot->fd >= 0)
		close(snapshot->fd);
	free(snapshot->path);
	free(snapshot->meta);
	free(snapshot->sections);
	memset(snapshot, 0, sizeof(*snapshot));
	snapshot->fd = -1;
}

const struct record *
snapshot_section(const struct snapshot *snapshot, uint32_t tag, uint32_t index)
{
	for (uint32_t i = 0; i < snapshot->header.sections; i++)
		if (snapshot->rows[i].tag == tag && snapshot->rows[i].index == index)
			return &snapshot->sections[i];
	return NULL;
}
