/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds the metadata of snapshots (header, table and sections), and copies snapshots. */
#ifndef SNAPSHOT_WRITER_H
#define SNAPSHOT_WRITER_H

#include "base/record.h"
#include "snapshot/format.h"

/*
 * Metadata under construction. Start with zeros, add sections, then seal it. After an error the
 * functions add nothing; the caller checks failed once, at the end.
 */
struct snapshot_meta {
	struct snapshot_row *rows; /* offsets count from the start of body */
	size_t count;
	uint8_t *body;
	size_t length;
	bool failed, no_memory; /* no_memory: the reason for failed */
};
/* Adds a section and copies its data. data: NULL: length zero bytes. */
void snapshot_meta_add(struct snapshot_meta *meta, uint32_t tag, uint32_t index, uint32_t flags,
		       const void *data, size_t length);
/* Adds the writer's record as a section. Frees and clears the writer. */
void snapshot_meta_add_record(struct snapshot_meta *meta, uint32_t tag, uint32_t index,
			      uint32_t flags, struct record_writer *writer);
/* Size of header, table and sections in bytes. */
uint64_t snapshot_meta_size(const struct snapshot_meta *meta);
/*
 * Returns header, table and sections in one malloced buffer; NULL: no memory. header: the caller
 * sets id, parent and parent_checksum; this function sets the other members.
 */
uint8_t *snapshot_meta_seal(const struct snapshot_meta *meta, struct snapshot_header *header,
			    uint64_t memory_size);
void snapshot_meta_free(struct snapshot_meta *meta);

/*
 * Verifies a snapshot and its open parents, and writes them as one file with a new id and without a
 * parent. Returns 0 or a negative status, reported.
 */
struct snapshot;
int snapshot_copy(const struct snapshot *snapshot, const char *path);

#endif
