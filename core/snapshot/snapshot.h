/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshot file: one file that holds a machine. All integers little-endian.
 *
 *     header   magic, version, header size, section count, sizes, checksum of header and table
 *     table    a row per section: tag, index, flags, offset, length, checksum (CRC-32C)
 *     sections records (base/record.h), one after the other without gaps
 *     memory   at a page boundary: each region in turn, holes where pages are zero: a restore
 *              maps it
 *
 * The memory's checksums, one per 64 KiB of memory that is not all zero, are a section of their
 * own; a restore does not read memory and so does not check them: `minivmm verify` does.
 */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include "base/record.h"
#include "config/config.h"
#include "machine/memory.h"
#include "plugin/device.h"

#define SNAPSHOT_MAGIC "MINIVMM\x1a"
#define SNAPSHOT_VERSION 1u
#define SNAPSHOT_CHUNK 65536u /* bytes of memory that one checksum covers */

enum snapshot_tag {                              /* four letters as they stand in the file */
		    SECTION_CONFIG = 0x464e4f43, /* CONF: the machine's config */
		    SECTION_HOST = 0x54534f48,   /* HOST: where it was made: versions, KVM, CPU */
		    SECTION_VM = 0x4d564d56,     /* VMVM: chips, lines, clock */
		    SECTION_VCPU = 0x55504356,   /* VCPU: index is the vCPU's */
		    SECTION_DEVICE =
			0x56454456, /* DEVI... one per device, in the order of the config */
		    SECTION_MEMORY = 0x524d454d, /* MEMR: regions */
		    SECTION_SUMS = 0x534d5553, /* SUMS: raw: u32 CRC-32C per chunk, 0 for a hole */
};

#define SECTION_SKIPPABLE 0x1u /* a reader that does not know the tag goes on without it */

struct snapshot_header {
	char magic[8];
	uint32_t version, header_size; /* sizeof(struct snapshot_header) */
	uint32_t sections, page_size;
	uint64_t meta_size; /* header, table and sections, in bytes */
	uint64_t memory_offset, memory_size;
	uint8_t id[16], parent[16]; /* parent: zeros */
	uint32_t reserved;
	uint32_t checksum; /* CRC-32C of header (this field as 0) and table */
};

struct snapshot_row {
	uint32_t tag, index, flags, checksum;
	uint64_t offset, length;
};

struct snapshot_region {
	gpa_t gpa;
	uint64_t size, offset; /* offset: from the start of the memory image */
};

/* A file opened and its metadata checked: every record in it is safe to walk. */
struct snapshot {
	char *path;
	int fd;
	uint64_t file_size;
	struct snapshot_header header;
	uint8_t *meta; /* meta_size bytes, malloced */
	const struct snapshot_row *rows;
	struct record
	    *sections; /* opened, by row; sections that are raw or unknown have data NULL */
	struct snapshot_region *regions;
	size_t region_count;
};

/* Opens and checks a file; says what is wrong. 0 or a negative status (STATUS_SNAPSHOT); close in
 * any case. */
int snapshot_open(struct snapshot *snapshot, const char *path);
void snapshot_close(struct snapshot *snapshot);
/* The same for a buffer that holds the metadata of a file of file_size bytes; the fuzzer's way in.
 * quiet on errors. */
int snapshot_parse(struct snapshot *snapshot, const char *name, const uint8_t *meta, size_t length,
		   uint64_t file_size);
/* The section, or NULL. */
const struct record *snapshot_section(const struct snapshot *snapshot, uint32_t tag,
				      uint32_t index);
/* Reads all of memory and compares the checksums. 0 or a negative status. */
int snapshot_verify(struct snapshot *snapshot);
/* Calls run(gpa, bytes) for each run of pages that hold data. */
void snapshot_runs(const struct snapshot *snapshot,
		   void (*run)(void *context, gpa_t gpa, uint64_t size), void *context);

/*
 * Writes the paused machine to path: a temporary name in the same folder, fsync, rename, fsync of
 * the folder. What fails leaves the old file whole. Returns 0 or a negative status.
 */
int snapshot_write(const char *path, struct machine *machine, struct devices *devices);

/*
 * Restore, in two steps: the config (into an empty struct, to which the caller applies --set),
 * then, when machine and devices are built from it, the state. load leaves the machine paused.
 */
int snapshot_config(struct snapshot *snapshot, struct config *config);
int snapshot_load(struct snapshot *snapshot, struct machine *machine, struct devices *devices);

uint32_t crc32c(uint32_t crc, const void *data, size_t length);

#endif
