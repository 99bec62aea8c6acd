/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of a snapshot that is being written. Each write of a page replaces the previous one;
 * the checksums are kept until the end. Instances are independent of each other.
 */
#ifndef SNAPSHOT_IMAGE_H
#define SNAPSHOT_IMAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/why.h"
#include "machine/memory.h"
#include "snapshot/output.h"
#include "snapshot/writer.h"

struct image {
	struct output *output;
	const struct memory *memory;
	/* The start of a shared mapping, so that a forked child can write pages too. */
	struct image_shared {
		atomic_uint_least64_t bytes; /* of data written so far */
		atomic_uint_least64_t pages; /* processed so far */
		struct why why;              /* the error of a child */
		bool stream_started;         /* a child's output.stream_started */
		uint64_t size;               /* a child's output.size */
	} * shared;
	uint32_t *sums; /* checksum of each page; in the mapping */
	uint64_t *data; /* bitmap: pages that are not zero in the output; in the mapping */
	size_t mapped;  /* bytes of the mapping */
};

/* Returns 0 or a negative status. Call image_free in any case. */
int image_init(struct image *image, struct output *output, const struct memory *memory);
void image_free(struct image *image);

/*
 * Writes the pages of a bitmap. The guest may run: if it writes a page meanwhile, the page is dirty
 * and must be written again. Returns 0 or a negative status. Any thread, one at a time.
 */
int image_write(struct image *image, const uint64_t *pages);
#define IMAGE_PAGES (SNAPSHOT_CHUNK / PAGE_SIZE)
/* Writes pages from a buffer, which begins with page first: those whose bit is set in wanted, at
 * most IMAGE_PAGES. Returns 0 or a negative status. */
int image_write_copy(struct image *image, uint64_t first, const uint8_t *bytes, uint32_t wanted);
/* Stores the section SUMS: a u32 for each chunk of each region, unaligned. */
void image_sums(const struct image *image, uint8_t *sums);
size_t image_sums_size(const struct memory *memory);
/*
 * Completes the file after all pages are written: adds memory map, checksums and page bitmap to
 * meta, writes meta and commits the output. held: bitmap of pages that differ from the parent's;
 * NULL: no parent. header: as for snapshot_meta_seal. Returns 0 or a negative status.
 */
int image_commit(struct image *image, struct snapshot_meta *meta, struct snapshot_header *header,
		 const uint64_t *held);

#endif
