/* SPDX-License-Identifier: BSD-2-Clause */
/* Opens the state that a machine has saved for a branch, as if it were a file. */
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/log.h"
#include "snapshot/image.h"
#include "snapshot/reader.h"
#include "snapshot/writer.h"

int
snapshot_open_saved(struct snapshot *snapshot, struct snapshot_meta *meta,
		    const struct memory *memory, const char *name)
{
	struct snapshot_header header = { .version = 0 };
	uint8_t *bytes = NULL;
	struct why why;

	*snapshot = (struct snapshot){ .fd = -1 };
	if (getrandom(header.id, sizeof(header.id), 0) != sizeof(header.id))
		return fail(STATUS_HOST, "cannot make an id for %s: getrandom failed", name);
	snapshot_meta_add_map(meta, memory);
	snapshot_meta_add(meta, SECTION_SUMS, 0, 0, NULL, image_sums_size(memory));
	bytes = snapshot_meta_seal(meta, &header, memory->size);
	snapshot_meta_free(meta);
	if (!bytes)
		return fail_memory("the state of %s", name);
	if (snapshot_parse(snapshot, bytes, sizeof(header) + header.table_size,
			   header.table_offset + header.table_size, &why))
		return fail(why_status(&why, STATUS_BUG), "%s %s", name, why.text);
	snapshot->received = true;
	snapshot->path = strdup(name);
	return snapshot->path ? 0 : fail_memory("the state of %s", name);
}
