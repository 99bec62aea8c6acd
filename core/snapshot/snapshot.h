/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The snapshot file: one file that holds a machine. All integers little-endian.
 *
 *     header   magic, version, counts and sizes, ids, checksum of header and table; zeros up to
 *     memory   at a page boundary: each region in turn, holes where pages are zero: a restore
 *              maps it. Then, at the next page boundary, what is known last:
 *     table    a row per section: tag, index, flags, offset, length, checksum (CRC-32C)
 *     sections records (base/record.h), one after the other without gaps, to the end of the file
 *
 * The memory's checksums are a section of their own; a restore does not read memory and so does not
 * check them: `minivmm verify` does. Everything else is checked by snapshot_open: no byte of it can
 * change, and the file can't lose its end, without being refused.
 *
 * A snapshot that has a parent holds only the pages that differ from it (section PAGE says which);
 * the others are holes that stand for the parent's. Parents are found by id.
 *
 * Header, table and sections in one piece, as they are in memory, are called meta here.
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
/* Snapshots in a chain: files that are open at once, and two chains (minivmm diff) must be within
 * the 1024 descriptors that a process may usually have. */
#define SNAPSHOT_CHAIN_MAX 400u
#define SNAPSHOT_CHAIN_META_MAX                                                                    \
	(512u << 20u) /* bytes of metadata of a whole chain; of one: see above */

/* Four letters as they stand in the file, and what the section holds. */
enum snapshot_tag {
	SECTION_CONFIG = 0x464e4f43, /* CONF: the machine's config */
	SECTION_HOST = 0x54534f48,   /* HOST: where it was made: versions, CPU, time */
	SECTION_TIME = 0x454d4954,   /* TIME: of the host, when the machine stood still for it */
	SECTION_VM = 0x4d564d56,     /* VMVM: chips, lines, clock */
	SECTION_VCPU = 0x55504356,   /* VCPU: index is the vCPU's */
	SECTION_DEVICE = 0x49564544, /* DEVI: one per device, in the order of the config */
	SECTION_MEMORY = 0x524d454d, /* MEMR: regions */
	SECTION_SUMS = 0x534d5553,   /* SUMS: raw: u32 per chunk, see snapshot_sum */
	SECTION_PAGES = 0x45474150, /* PAGE: raw, with a parent only: a bit per page that is here */
};

#define SECTION_SKIPPABLE 0x1u /* a reader that does not know the tag goes on without it */

struct snapshot_header {
	char magic[8];
	uint32_t version, header_size; /* sizeof(struct snapshot_header) */
	uint32_t sections, page_size;
	uint64_t memory_offset, memory_size;
	uint64_t table_offset, table_size; /* table and sections, in bytes */
	uint8_t id[16], parent[16];        /* parent: zeros: none */
	uint32_t parent_checksum;          /* the checksum in its header; 0 without */
	uint32_t checksum;                 /* CRC-32C of header (this field as 0) and table */
};

struct snapshot_row {
	uint32_t tag, index, flags, checksum;
	uint64_t offset, length; /* offset: from the start of the table */
};

struct snapshot_region {
	gpa_t gpa;
	uint64_t size, offset; /* offset: from the start of the memory image */
};

/* A file opened and its metadata checked: every record in it is safe to walk. */
struct snapshot {
	char *path;
	int fd;        /* -1: none */
	bool received; /* from a pipe: path names no file */
	struct snapshot_header header;
	uint8_t *meta; /* malloced */
	const struct snapshot_row *rows;
	struct record *sections; /* by row; of raw and unknown ones data is NULL */
	struct snapshot_region regions[MEMORY_REGIONS];
	size_t region_count;
	const uint8_t *sums;     /* unaligned u32s */
	const uint8_t *pages;    /* of which pages are here, one bit each; NULL: all */
	struct snapshot *parent; /* ours, opened; NULL: it has none, or was opened alone */
};

/*
 * Opens and checks a file; says what is wrong. open takes it alone; open_chain takes its parents as
 * well: each is looked for by id in the other paths, and then by the name that it had in the
 * child's folder. 0 or a negative status; close in any case, which closes parents too.
 */
int snapshot_open(struct snapshot *snapshot, const char *path);
int snapshot_open_chain(struct snapshot *snapshot, const char *path, char *const *others,
			size_t other_count);
/* The parents of one that is open. */
int snapshot_open_parents(struct snapshot *snapshot, char *const *others, size_t other_count);
/* As snapshot_open, for a descriptor, which becomes the snapshot's; name is for messages. */
int snapshot_open_fd(struct snapshot *snapshot, int fd, const char *name);
/*
 * Takes a snapshot from a pipe or a socket (output.h has the format), up to its end, into memory,
 * and verifies it. The descriptor stays the caller's. Blocks.
 */
int snapshot_receive(struct snapshot *snapshot, int fd, const char *name);
void snapshot_close(struct snapshot *snapshot);
bool snapshot_has_parent(const struct snapshot *snapshot);
/* The id that a file's header gives; false: it can't be had. Says nothing. */
bool snapshot_peek_id(const char *path, uint8_t id[16]);
/* An id as 32 hexadecimal digits; buffer of 33. */
const char *snapshot_id_text(const uint8_t id[16], char *buffer);

/*
 * Checks metadata that lies in a buffer: header, table and sections of a file of file_size bytes.
 * meta is malloced and the snapshot's from here on. Returns 0, or -1 with the reason in why. Part
 * of snapshot_open; apart for tests. Close in any case.
 */
int snapshot_parse(struct snapshot *snapshot, uint8_t *meta, size_t length, uint64_t file_size,
		   char *why, size_t why_size);

/* The first step of it: what the header alone tells. */
int snapshot_check_header(const struct snapshot_header *header, uint64_t file_size, char *why,
			  size_t why_size);

/* The section, or NULL. Sections of one tag are numbered from 0 without gaps. */
const struct record *snapshot_section(const struct snapshot *snapshot, uint32_t tag,
				      uint32_t index);
/* Four letters of a tag; buffer of 5. */
const char *snapshot_tag_name(uint32_t tag, char *buffer);

/* Is this page of the memory's image in this file, not in a parent's? */
static inline bool
snapshot_holds(const struct snapshot *snapshot, uint64_t page)
{
	return !snapshot->pages || snapshot->pages[page / 8] >> page % 8 & 1;
}

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

/* Reads memory by guest physical address, where need be from parents; all of it must be in one
 * region. What the checksums call zero is not looked at. Says what failed. */
int snapshot_read(const struct snapshot *snapshot, gpa_t gpa, void *to, size_t length);

/*
 * The image of its memory, parents' pages included, mapped to be read: of one file, the file
 * itself, which all who map it share. unmap with munmap. Says what failed.
 */
int snapshot_map(const struct snapshot *snapshot, const uint8_t **image);
/* True when checksums say that a page of the image is zero. */
bool snapshot_page_zero(const struct snapshot *snapshot, uint64_t page);

/* Reads all of the file's memory and compares the checksums. Says which chunks are damaged. 0 or a
 * negative status. */
int snapshot_verify(const struct snapshot *snapshot);
/* Calls run(gpa, bytes) for each run of pages that are not all zero; with a parent: that are in
 * this file. 0 or a negative status. */
int snapshot_runs(const struct snapshot *snapshot,
		  void (*run)(void *context, gpa_t gpa, uint64_t size), void *context);

/*
 * Restore, in two steps: the config (into an empty struct, to which the caller applies --set),
 * then, when machine and devices are built from it, the state. load leaves the machine paused.
 */
int snapshot_config(const struct snapshot *snapshot, struct config *config);
int snapshot_load(const struct snapshot *snapshot, struct machine *machine,
		  struct devices *devices);

/* The state alone, of a machine that load has checked: what a reset does again. */
int snapshot_load_state(const struct snapshot *snapshot, struct machine *machine,
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
/* Header, table and sections, in bytes. */
uint64_t snapshot_meta_size(const struct snapshot_meta *meta);
/* All of them, malloced; NULL: no memory. header: ids and parent_checksum are the caller's, the
 * rest is filled in. */
uint8_t *snapshot_meta_seal(const struct snapshot_meta *meta, struct snapshot_header *header,
			    uint64_t memory_size);
#define SNAPSHOT_MEMORY_OFFSET PAGE_SIZE /* where memory begins in the files that we write */
void snapshot_meta_free(struct snapshot_meta *meta);
/* Adds the memory map: the section MEMR. */
void snapshot_meta_add_memory(struct snapshot_meta *meta, const struct memory *memory);

/* The HOST section: where and when this process runs; parent: the name of the parent's file, or
 * NULL. */
void snapshot_host_save(struct record_writer *writer, const char *parent);
/* "minivmm 0.1, Linux 6.1, AuthenticAMD EPYC" of a HOST section, in buffer. */
const char *snapshot_host_text(const struct record *host, char *buffer, size_t size);

/* A chunk's checksum: 0 when all of it is zero, else its CRC-32C, or 1 where that is 0. */
uint32_t snapshot_sum(const uint8_t *chunk, size_t length);
/* length: 16 bytes at least. */
bool snapshot_zero(const uint8_t *bytes, size_t length);

/* CRC-32C (Castagnoli) of more bytes; start with 0. _table is the one for CPUs without SSE 4.2. */
uint32_t crc32c(uint32_t crc, const void *data, size_t length);
uint32_t crc32c_table(uint32_t crc, const void *data, size_t length);

/* Joins checksums: that of A followed by length bytes B is crc32c_shifted(A's) ^ B's. length: a
 * power of 2. */
struct crc32c_shift {
	uint32_t bits[32]; /* what each bit becomes */
	uint32_t zeros;    /* the checksum of length zeros */
};
void crc32c_shift_init(struct crc32c_shift *shift, size_t length);
uint32_t crc32c_shifted(const struct crc32c_shift *shift, uint32_t crc);

#endif
