/* SPDX-License-Identifier: BSD-2-Clause */
/* Builds the snapshot of a small machine, for tests of the file format. */
#ifndef UNIT_SNAPSHOT_SAMPLE_H
#define UNIT_SNAPSHOT_SAMPLE_H

#include <string.h>

#include "snapshot/host.h"
#include "snapshot/writer.h"

#define SAMPLE_GPA 0x1000u

/* Adds all sections except memory map and checksums. */
static inline void
sample_sections(struct snapshot_meta *meta)
{
	struct record_writer *writer = snapshot_meta_begin(meta, SECTION_CONFIG, 0, 0);

	record_put_u64(writer, "memory", 0x4000);
	snapshot_meta_end(meta);
	snapshot_host_save(snapshot_meta_begin(meta, SECTION_HOST, 0, 0), NULL);
	snapshot_meta_end(meta);
	writer = snapshot_meta_begin(meta, SECTION_DEVICE, 0, 0);
	record_put_text(writer, "name", "serial0");
	record_put_text(writer, "plugin", "serial");
	record_put_u32(writer, "version", 1);
	snapshot_meta_end(meta);
	writer = snapshot_meta_begin(meta, SECTION_VCPU, 0, 0);
	record_begin(writer, "regs", RECORD_GROUP);
	record_put_u64(writer, "rax", 4);
	record_end(writer);
	snapshot_meta_end(meta);
	writer = snapshot_meta_begin(meta, SECTION_VM, 0, 0);
	record_put_u64(writer, "time", 12345);
	snapshot_meta_end(meta);
}

static inline void
sample_region(struct record_writer *writer, uint64_t gpa, uint64_t size, uint64_t offset)
{
	record_begin(writer, NULL, RECORD_GROUP);
	record_put_u64(writer, "gpa", gpa);
	record_put_u64(writer, "size", size);
	record_put_u64(writer, "offset", offset);
	record_end(writer);
}

/* Adds memory map and checksums for one region of size bytes. */
static inline void
sample_memory(struct snapshot_meta *meta, uint64_t size)
{
	struct record_writer *writer = snapshot_meta_begin(meta, SECTION_MEMORY, 0, 0);

	record_begin(writer, "regions", RECORD_LIST);
	sample_region(writer, SAMPLE_GPA, size, 0);
	record_end(writer);
	snapshot_meta_end(meta);
	snapshot_meta_add(meta, SECTION_SUMS, 0, 0, NULL,
			  (size + SNAPSHOT_CHUNK - 1) / SNAPSHOT_CHUNK * 4);
}

#endif
