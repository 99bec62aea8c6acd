/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes snapshots: builds their metadata (header, table and sections), and copies them. */
#ifndef SNAPSHOT_WRITER_H
#define SNAPSHOT_WRITER_H

#include "base/record.h"
#include "snapshot/format.h"

/*
 * Metadata under construction: start with zeros, add sections, then seal it. An error (no memory)
 * makes all later calls do nothing.
 */
struct snapshot_meta {
	struct snapshot_row *rows; /* offsets count from the start of body */
	size_t count;
	uint8_t *body;
	size_t length;
	bool failed, no_memory; /* no_memory: that was the reason */
};
/* data: NULL: length zeros. */
void snapshot_meta_add(struct snapshot_meta *meta, uint32_t tag, uint32_t index, uint32_t flags,
		       const void *data, size_t length);
/* Adds the writer's record, and frees it. */
void snapshot_meta_add_record(struct snapshot_meta *meta, uint32_t tag, uint32_t index,
			      uint32_t flags, struct record_writer *writer);
/* Size of header, table and sections in bytes. */
uint64_t snapshot_meta_size(const struct snapshot_meta *meta);
/*
 * Header, table and sections in one malloced piece; NULL: no memory. header: the caller sets ids
 * and parent_checksum, the rest is filled in.
 */
uint8_t *snapshot_meta_seal(const struct snapshot_meta *meta, struct snapshot_header *header,
			    uint64_t memory_size);
void snapshot_meta_free(struct snapshot_meta *meta);

/*
 * Verifies a snapshot and its open parents, and writes them as one file without a parent, with an
 * id of its own. 0 or a negative status, reported.
 */
struct snapshot;
int snapshot_copy(const struct snapshot *snapshot, const char *path);

#endif
