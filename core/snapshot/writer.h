/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds the metadata of snapshots (header, table and sections), and copies snapshots. */
#ifndef SNAPSHOT_WRITER_H
#define SNAPSHOT_WRITER_H

#include "base/record.h"
#include "snapshot/format.h"

/*
 * Metadata under construction. Start with zeros, add sections, then seal it. All sections are
 * written to one buffer, in which they stay. After an error the functions add nothing; the caller
 * checks body.failed once, at the end.
 */
struct snapshot_meta {
	struct snapshot_row *rows; /* offsets count from the start of body */
	size_t count;
	unsigned changes; /* of the section that may change before the stop, when it was saved */
	struct record_writer body;
};
/* Makes room for a section whose record the caller writes to the returned writer. End it before the
 * next section. */
struct record_writer *snapshot_meta_begin(struct snapshot_meta *meta, uint32_t tag, uint32_t index,
					  uint32_t flags);
void snapshot_meta_end(struct snapshot_meta *meta);
/* Removes the last section. */
void snapshot_meta_drop(struct snapshot_meta *meta);
/* Adds a section that is not a record, and copies its data. data: NULL: length zero bytes. */
void snapshot_meta_add(struct snapshot_meta *meta, uint32_t tag, uint32_t index, uint32_t flags,
		       const void *data, size_t length);
/* Adds the section MEMORY. */
void snapshot_meta_add_map(struct snapshot_meta *meta, const struct memory *memory);
/* Whether an error has been noted. */
static inline bool
snapshot_meta_failed(const struct snapshot_meta *meta)
{
	return meta->body.failed;
}
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
