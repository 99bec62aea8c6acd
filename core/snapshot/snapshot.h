/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshot file: one file that holds a machine. All integers little-endian.
 *
 *     header   magic, version, header size, section count, sizes, checksum of header and table
 *     table    a row per section: tag, index, flags, offset, length, checksum (CRC-32C)
 *     sections records (base/record.h), one after the other without gaps
 *     memory   at the next page boundary: each region in turn, holes where pages are zero: a
 *              restore maps it. The file ends with it.
 *
 * The memory's checksums are a section of their own; a restore does not read memory and so does not
 * check them: `minivmm verify` does. Everything before the memory is checked by snapshot_open: no
 * byte of it can change, and the file can't lose its end, without being refused.
 */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include "base/record.h"
#include "config/config.h"
#include "machine/memory.h"

struct devices;
struct machine;

#define SNAPSHOT_MAGIC "MINIVMM\x1a"
#define SNAPSHOT_VERSION 1u
#define SNAPSHOT_CHUNK 65536u           /* bytes of memory that one checksum covers */
#define SNAPSHOT_SECTIONS_MAX 4096u     /* more are refused */
#define SNAPSHOT_META_MAX (256u << 20u) /* bytes; more are refused */

/* Four letters as they stand in the file, and what the section holds. */
enum snapshot_tag {
	SECTION_CONFIG = 0x464e4f43, /* CONF: the machine's config */
	SECTION_HOST = 0x54534f48,   /* HOST: where it was made: versions, CPU, time */
	SECTION_VM = 0x4d564d56,     /* VMVM: chips, lines, clock */
	SECTION_VCPU = 0x55504356,   /* VCPU: index is the vCPU's */
	SECTION_DEVICE = 0x49564544, /* DEVI: one per device, in the order of the config */
	SECTION_MEMORY = 0x524d454d, /* MEMR: regions */
	SECTION_SUMS = 0x534d5553,   /* SUMS: raw: u32 per chunk, see snapshot_sum */
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
	int fd; /* -1: none */
	struct snapshot_header header;
	uint8_t *meta; /* all that lies before the memory, malloced */
	const struct snapshot_row *rows;
	struct record *sections; /* by row; of raw and unknown ones data is NULL */
	struct snapshot_region regions[MEMORY_REGIONS];
	size_t region_count;
	const uint8_t *sums; /* unaligned u32s */
};

/* Opens and checks a file; says what is wrong. 0 or a negative status; close in any case. */
int snapshot_open(struct snapshot *snapshot, const char *path);
void snapshot_close(struct snapshot *snapshot);

/*
 * Checks metadata that lies in a buffer: all bytes before the memory of a file of file_size bytes.
 * meta is malloced and the snapshot's from here on. Returns 0, or -1 with the reason in why. Part
 * of snapshot_open; apart for tests. Close in any case.
 */
int snapshot_parse(struct snapshot *snapshot, uint8_t *meta, size_t length, uint64_t file_size,
		   char *why, size_t why_size);

/* The section, or NULL. Sections of one tag are numbered from 0 without gaps. */
const struct record *snapshot_section(const struct snapshot *snapshot, uint32_t tag,
				      uint32_t index);
/* Four letters of a tag; buffer of 5. */
const char *snapshot_tag_name(uint32_t tag, char *buffer);

/* Reads bytes of the file; says what failed. */
int snapshot_pread(const struct snapshot *snapshot, void *to, size_t length, uint64_t offset);

/* What one checksum covers: SNAPSHOT_CHUNK bytes, or less at the end of a region. Start with all
 * zeros. */
struct snapshot_chunk {
	size_t region;
	uint64_t number, next; /* next: offset in the region */
	gpa_t gpa;
	uint64_t file_offset;
	size_t size;
	uint32_t sum;
};
bool snapshot_chunk_next(const struct snapshot *snapshot, struct snapshot_chunk *chunk);
/* Reads the chunk's memory into buffer (SNAPSHOT_CHUNK bytes). Says what failed. */
int snapshot_chunk_read(const struct snapshot *snapshot, const struct snapshot_chunk *chunk,
			uint8_t *buffer);

/* Reads memory by guest physical address; all of it must be in one region. What the
 * checksums call zero is not looked at. Says what failed. */
int snapshot_read(const struct snapshot *snapshot, gpa_t gpa, void *to, size_t length);

/* Reads all of memory and compares the checksums. Says which chunks are damaged. 0 or a negative
 * status. */
int snapshot_verify(const struct snapshot *snapshot);
/* Calls run(gpa, bytes) for each run of pages that are not all zero. 0 or a negative status. */
int snapshot_runs(const struct snapshot *snapshot,
		  void (*run)(void *context, gpa_t gpa, uint64_t size), void *context);

/*
 * Writes the paused machine to path: a temporary name in the same folder, fsync, rename, fsync of
 * the folder. What fails leaves the old file whole, and nothing behind. The machine's memory may be
 * mapped from the very file that path names. Returns 0 or a negative status.
 */
int snapshot_write(const char *path, struct machine *machine, struct devices *devices);

/*
 * Restore, in two steps: the config (into an empty struct, to which the caller applies --set),
 * then, when machine and devices are built from it, the state. load leaves the machine paused.
 */
int snapshot_config(const struct snapshot *snapshot, struct config *config);
int snapshot_load(const struct snapshot *snapshot, struct machine *machine,
		  struct devices *devices);

/* Metadata in the making. Zeroed, then sections are added, then it is sealed. Errors (no memory)
 * stick. */
struct snapshot_meta {
	struct snapshot_row *rows; /* offsets count from the start of body */
	size_t count;
	uint8_t *body;
	size_t length;
	bool failed, no_memory; /* no_memory: that was why */
};
void snapshot_meta_add(struct snapshot_meta *meta, uint32_t tag, uint32_t index, uint32_t flags,
		       const void *data, size_t length);
/* Adds what the writer holds, and frees it. */
void snapshot_meta_add_record(struct snapshot_meta *meta, uint32_t tag, uint32_t index,
			      struct record_writer *writer);
/* Where memory will begin in the file. */
uint64_t snapshot_meta_end(const struct snapshot_meta *meta);
/* All bytes before the memory, malloced; NULL: no memory. header: id is the caller's, the rest is
 * filled in. */
uint8_t *snapshot_meta_seal(const struct snapshot_meta *meta, struct snapshot_header *header,
			    uint64_t memory_size);
void snapshot_meta_free(struct snapshot_meta *meta);
/* Adds the memory map and writes the file: the part of snapshot_write that needs no machine. */
int snapshot_write_file(const char *path, struct snapshot_meta *meta, const struct memory *memory);

/* The HOST section: where and when this process runs. */
void snapshot_host_save(struct record_writer *writer);
/* "minivmm 0.1, Linux 6.1, AuthenticAMD EPYC" of a HOST section, in buffer. */
const char *snapshot_host_text(const struct record *host, char *buffer, size_t size);

/* A chunk's checksum: 0 when all of it is zero, else its CRC-32C, or 1 where that is 0. */
uint32_t snapshot_sum(const uint8_t *chunk, size_t length);
/* length: 16 bytes at least. */
bool snapshot_zero(const uint8_t *bytes, size_t length);

/* CRC-32C (Castagnoli) of more bytes; start with 0. _table is the one for CPUs without SSE 4.2. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);
uint32_t crc32c_table(uint32_t crc, const void *data, size_t length);

#endif
