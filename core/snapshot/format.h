/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshot file format: one file that holds a machine. All integers are little-endian.
 *
 *     header   magic, version, counts and sizes, ids, checksum of header and table; then zeros
 *     memory   starts on a page boundary: the regions one after the other, holes where pages are
 *              zero. A restore maps it. It ends on a page boundary
 *     table    a row per section: tag, index, flags, offset, length, checksum (CRC-32C)
 *     sections records (base/record.h), without gaps, to the end of the file
 *
 * Header, table and sections together are called metadata. The header's checksum and the rows'
 * checksums cover all of it. The section SUMS holds the checksums of the memory: a restore does not
 * read the memory and so does not check them; `minivmm verify` does.
 *
 * A snapshot with a parent holds only the pages that differ from the parent's (section PAGE is a
 * bitmap of them); the other pages are holes that stand for the parent's. Parents are found by id.
 *
 * A snapshot in a pipe is a stream of frames: STREAM_MAGIC, then a frame of length 0 whose offset
 * is the largest size that the file may reach (the reader keeps no more). Frames with data follow:
 * each writes its bytes at its offset, later frames over earlier ones; bytes that no frame writes
 * are zero. A second frame of length 0 ends the stream; its offset is the size of the file.
 */
#ifndef SNAPSHOT_FORMAT_H
#define SNAPSHOT_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"
#include "machine/memory.h"

#define SNAPSHOT_MAGIC "MINIVMM\x1a" /* the first 8 bytes */
#define SNAPSHOT_VERSION 1u
#define SNAPSHOT_CHUNK 65536u            /* bytes of memory that one checksum covers */
#define SNAPSHOT_MEMORY_OFFSET PAGE_SIZE /* of the memory, in files that we write */

/* Files that exceed these limits are refused. */
#define SNAPSHOT_SECTIONS_MAX 4096u
#define SNAPSHOT_META_MAX (256u << 20u) /* bytes of metadata of one file */
/*
 * Snapshots in a chain. Each is an open file, and `minivmm diff` opens two chains: both must fit in
 * the 1024 descriptors that a process usually may have.
 */
#define SNAPSHOT_CHAIN_MAX 400u
#define SNAPSHOT_CHAIN_META_MAX (512u << 20u) /* bytes of metadata of a whole chain */

/* The tag's four letters in the file, and what the section holds. sections.c has a row for each. */
enum section_tag {
	SECTION_CONFIG = 0x464e4f43, /* CONF: the machine's config */
	SECTION_HOST = 0x54534f48,   /* HOST: where it was made: versions, CPU, time */
	SECTION_TIME = 0x454d4954,   /* TIME: the host's time of day during the stop */
	SECTION_VM = 0x4d564d56,     /* VMVM: chips, lines, clock */
	SECTION_VCPU = 0x55504356,   /* VCPU: index is the vCPU's */
	SECTION_DEVICE = 0x49564544, /* DEVI: one per device, in the order of the config */
	SECTION_MEMORY = 0x524d454d, /* MEMR: regions */
	SECTION_SUMS = 0x534d5553,   /* SUMS: raw: a u32 per chunk, see snapshot_sum */
	SECTION_PAGES = 0x45474150, /* PAGE: raw, with a parent only: a bit per page in this file */
};

#define SECTION_SKIPPABLE                                                                          \
	0x1u /* in a row's flags: a reader that does not know the tag skips it                     \
	      */

struct snapshot_header {
	char magic[8];
	uint32_t version, header_size; /* sizeof(struct snapshot_header) */
	uint32_t sections, page_size;
	uint64_t memory_offset, memory_size;
	uint64_t table_offset, table_size; /* table and sections, in bytes */
	uint8_t id[16], parent[16];        /* parent: zeros: none */
	uint32_t parent_checksum;          /* the checksum in the parent's header; 0 without */
	uint32_t checksum;                 /* CRC-32C of header (this field as 0) and table */
};

struct snapshot_row {
	uint32_t tag, index, flags, checksum;
	uint64_t offset, length; /* offset: from the start of the table */
};

#define STREAM_MAGIC "MINIVMM\x1e"
#define STREAM_FRAME_MAX (1u << 20)

struct stream_frame {
	uint64_t offset;
	uint32_t length;   /* bytes that follow, at most STREAM_FRAME_MAX */
	uint32_t checksum; /* CRC-32C of this struct, with 0 here, and the bytes */
};

/*
 * Checks what the header alone shows, given the size of the file. Returns 0, or -1 with the reason
 * in why.
 */
int snapshot_check_header(const struct snapshot_header *header, uint64_t file_size,
			  struct why *why);

/* The four letters of a tag; buffer of 5. */
const char *snapshot_tag_name(uint32_t tag, char *buffer);
/* An id as 32 hexadecimal digits; buffer of 33. */
const char *snapshot_id_text(const uint8_t id[16], char *buffer);

/* A chunk's checksum: 0 when all of it is zero, else its CRC-32C, or 1 where that is 0. */
uint32_t snapshot_sum(const uint8_t *chunk, size_t length);
/* Is all of it zero? length: 16 bytes at least. */
bool snapshot_zero(const uint8_t *bytes, size_t length);

#endif
