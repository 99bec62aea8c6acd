/* SPDX-License-Identifier: BSD-2-Clause */
/* What a snapshot holds beside memory: taken while the machine is stopped, written last. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "snapshot/capture.h"

/*
 * Devices first, then vCPUs, then chips: saving the former may inject an interrupt into the latter.
 * What fails has said so.
 */
int
capture_state(struct capture *capture)
{
	struct machine *machine = capture->machine;
	struct devices *devices = capture->devices;
	struct snapshot_meta *meta = &capture->meta;
	struct record_writer writer = { 0 };
	int failed = 0;

	config_save(devices->config, &writer);
	snapshot_meta_add_record(meta, SECTION_CONFIG, 0, &writer);
	snapshot_host_save(&writer, capture->request.diff ? capture->base.name : NULL);
	snapshot_meta_add_record(meta, SECTION_HOST, 0, &writer);
	for (size_t i = 0; !failed && i < devices->count; i++) {
		failed = device_save(&devices->list[i], &writer);
		snapshot_meta_add_record(meta, SECTION_DEVICE, (uint32_t)i, &writer);
	}
	for (uint32_t i = 0; !failed && i < machine->vcpu_count; i++) {
		failed = vcpu_save(&machine->vcpus[i], &writer);
		snapshot_meta_add_record(meta, SECTION_VCPU, i, &writer);
	}
	if (!failed) {
		failed = machine_save(machine, &writer);
		record_put_bytes(&writer, "generation", devices->generation,
				 sizeof(devices->generation));
		snapshot_meta_add_record(meta, SECTION_VM, 0, &writer);
	}
	return failed;
}

static void
add_memory(struct capture *capture)
{
	const struct memory *memory = &capture->machine->memory;
	struct snapshot_meta *meta = &capture->meta;

	snapshot_meta_add_memory(meta, memory);
	snapshot_meta_add(meta, SECTION_SUMS, 0, 0, NULL, image_sums_size(memory));
	if (!meta->failed)
		image_sums(&capture->image, meta->body + meta->rows[meta->count - 1].offset);
	if (capture->request.diff)
		snapshot_meta_add(meta, SECTION_PAGES, 0, 0, capture->since,
				  (memory->size / PAGE_SIZE + 7) / 8);
}

/* The header comes last: without it a file is no snapshot. */
int
capture_commit(struct capture *capture)
{
	struct output *output = &capture->output;
	struct snapshot_header *header = &capture->header;
	uint8_t *bytes;
	int failed;

	add_memory(capture);
	if (capture->meta.failed)
		return fail(STATUS_BUG, "can't write snapshot %s: its records can't be built",
			    output->path);
	if (snapshot_meta_size(&capture->meta) > SNAPSHOT_META_MAX ||
	    capture->meta.count > SNAPSHOT_SECTIONS_MAX)
		return fail(STATUS_USAGE,
			    "can't write snapshot %s: the machine is too large for one",
			    output->path);
	bytes = snapshot_meta_seal(&capture->meta, header, capture->machine->memory.size);
	if (!bytes)
		return fail(STATUS_HOST, "can't write snapshot %s: no memory", output->path);
	failed =
	    output_write(output, bytes + sizeof(*header), header->table_size, header->table_offset);
	if (!failed)
		failed = output_write(output, bytes, sizeof(*header), 0);
	free(bytes);
	return failed ? failed : output_commit(output);
}
