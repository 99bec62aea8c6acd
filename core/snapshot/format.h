/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshot file format: one file that holds a machine. All integers are little-endian.
 *
 *     header   magic, version, counts and sizes, ids, checksum of header and table; then zeros
 *     memory   starts and ends on a page boundary: the regions in order, with holes for zero pages.
 *              A restore maps it
 *     table    a row per section: tag, index, flags, offset, length, checksum (CRC-32C)
 *     sections records (base/record.h), without gaps, to the end of the file
 *
 * Header, table and sections are the metadata. The header's checksum and the rows' checksums cover
 * all of it. The section SUMS holds the checksums of the memory. A restore does not read the memory
 * and so does not check them; `minivmm verify` does.
 *
 * A snapshot with a parent (a diff) holds only the pages that differ from the parent's. The section
 * PAGE is a bitmap of them; the other pages are holes and come from the parent. Readers find the
 * parent by its id.
 *
 * A snapshot in a pipe is a stream: STREAM_MAGIC, then frames. The first frame has length 0; its
 * offset is the size limit of the file, and the reader refuses more. Each frame with data writes
 * its bytes at its offset, over those of earlier frames; bytes that no frame writes are zero. A
 * second frame of length 0 ends the stream; its offset is the size of the file.
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
#define SNAPSHOT_MEMORY_OFFSET PAGE_SIZE /* memory_offset in files that we write */

/* Readers refuse files that exceed these limits. */
#define SNAPSHOT_SECTIONS_MAX 4096u
#define SECTION_KINDS_MAX 16u           /* tags that this reader knows */
#define SNAPSHOT_META_MAX (256u << 20u) /* bytes of metadata of one file */
/*
 * Snapshots in a chain. Each is an open file, and `minivmm diff` opens two chains: both must fit in
 * 1024 descriptors, the default RLIMIT_NOFILE.
 */
#define SNAPSHOT_CHAIN_MAX 400u
#define SNAPSHOT_CHAIN_META_MAX (512u << 20u) /* bytes of metadata of a whole chain */

/* A tag is four letters in the file. sections.c has a row for each. */
enum section_tag {
	SECTION_CONFIG = 0x464e4f43, /* CONF: the machine's config */
	SECTION_HOST = 0x54534f48,   /* HOST: where and when it was made: versions, CPU */
	SECTION_TIME = 0x454d4954,   /* TIME: the host's time of day during the stop */
	SECTION_VM = 0x4d564d56,     /* VMVM: chips, interrupt lines, clock */
	SECTION_VCPU = 0x55504356,   /* VCPU: one per vCPU */
	SECTION_PCI = 0x46494350, /* PCIF: root complex and functions, if a device is in a slot */
	SECTION_DEVICE = 0x49564544, /* DEVI: one per device, in the order of the config */
	SECTION_NAMES = 0x454d414e,  /* NAME: names of address ranges, for people */
	SECTION_MEMORY = 0x524d454d, /* MEMR: regions */
	SECTION_SUMS = 0x534d5553,   /* SUMS: raw, a u32 per chunk (snapshot_sum) */
	SECTION_PAGES = 0x45474150,  /* PAGE: raw, with a parent: bitmap of pages in this file */
};

/* A flag in a row: a reader that does not know the tag skips the section. */
#define SECTION_SKIPPABLE 0x1u

struct snapshot_header {
	char magic[8];
	uint32_t version, header_size; /* sizeof(struct snapshot_header) */
	uint32_t sections, page_size;
	uint64_t memory_offset, memory_size;
	uint64_t table_offset, table_size; /* table and sections, in bytes */
	uint8_t id[16], parent[16];        /* ids; parent: zeros if it has none */
	uint32_t parent_checksum;          /* the checksum in the parent's header, or 0 */
	uint32_t checksum;                 /* CRC-32C of header, with 0 here, and table */
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
	uint32_t checksum; /* CRC-32C of this struct, with 0 here, and bytes */
};

/*
 * Checks the header by itself, of which length bytes are there, and stores the size of its file.
 * Returns 0, or -1 with the reason in why.
 */
int snapshot_header_size(const struct snapshot_header *header, uint64_t length, uint64_t *size,
			 struct why *why);
/*
 * Checks the header by itself and against the size of the file. Returns 0, or -1 with the reason in
 * why.
 */
int snapshot_check_header(const struct snapshot_header *header, uint64_t file_size,
			  struct why *why);

/* Stores the four letters of a tag in a buffer of 5. Returns buffer. */
const char *snapshot_tag_name(uint32_t tag, char *buffer);
/* Stores an id as 32 hexadecimal digits in a buffer of 33. Returns buffer. */
const char *snapshot_id_text(const uint8_t id[16], char *buffer);

/* Returns the checksum of a chunk: 0 if all bytes are zero; else its CRC-32C, or 1 if that is 0. */
uint32_t snapshot_sum(const uint8_t *chunk, size_t length);
/* Are all bytes zero? length: at least 16. */
bool snapshot_zero(const uint8_t *bytes, size_t length);

#endif
