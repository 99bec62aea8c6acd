/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of a snapshot in the making: pages go to the output, again when they have changed
 * since, and their checksums are kept until the end. Two of these at once are two snapshots.
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
	/* In one shared mapping, so that a forked child can write pages too: */
	struct image_shared {
		atomic_uint_least64_t bytes; /* of data, written so far */
		atomic_uint_least64_t pages; /* looked at so far */
		struct why why;              /* a child failed */
		bool begun;                  /* a child: its output, at its end */
		uint64_t size;
	} * shared;
	uint32_t *sums; /* of each page */
	uint64_t *data; /* pages that are not zero in the output */
	size_t mapped;  /* bytes of it */
};

/* 0 or a negative status; free in any case. */
int image_init(struct image *image, struct output *output, const struct memory *memory);
void image_free(struct image *image);

/*
 * Writes the pages of a bitmap as they are now. The guest may run: a page that it writes meanwhile
 * is dirty, and comes again. Any thread, one at a time.
 */
int image_write(struct image *image, const uint64_t *pages);
#define IMAGE_PAGES (SNAPSHOT_CHUNK / PAGE_SIZE) /* that one call is for, at most */
/* The same for pages whose bytes are elsewhere: of those from first on, the ones whose bits are set
 * in wanted. */
int image_write_copy(struct image *image, uint64_t first, const uint8_t *bytes, uint32_t wanted);
/* The section SUMS: a u32 for each chunk of each region, unaligned. */
void image_sums(const struct image *image, uint8_t *sums);
size_t image_sums_size(const struct memory *memory);
/*
 * The rest of the file, when all pages are written: adds to meta what it lacks (memory map,
 * checksums), writes it, and commits the output. held: pages that differ from the header's parent;
 * NULL: it has none. header: as for snapshot_meta_seal.
 */
int image_commit(struct image *image, struct snapshot_meta *meta, struct snapshot_header *header,
		 const uint64_t *held);

#endif
