/* SPDX-License-Identifier: BSD-2-Clause */
/* What a snapshot holds beside memory: taken while the machine is stopped. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "snapshot/capture.h"
#include "snapshot/host.h"

void
capture_about(struct capture *capture)
{
	struct record_writer writer = { 0 };

	snapshot_host_save(&writer, capture->request.diff ? capture->base.name : NULL);
	snapshot_meta_add_record(&capture->meta, SECTION_HOST, 0, 0, &writer);
}

/* When that is; not in VMVM, since the state of a machine that is reset is compared with that. */
static void
add_time(struct snapshot_meta *meta)
{
	struct record_writer writer = { 0 };
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	record_put_u64(&writer, "realtime",
		       (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
	snapshot_meta_add_record(meta, SECTION_TIME, 0, SECTION_SKIPPABLE, &writer);
}

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
	int failed = devices_capture(devices);

	if (!failed) { /* after that, which may change options */
		config_save(devices->config, &writer);
		snapshot_meta_add_record(meta, SECTION_CONFIG, 0, 0, &writer);
	}
	add_time(meta);
	for (size_t i = 0; !failed && i < devices->count; i++) {
		failed = device_save(devices_at(devices, i), &writer);
		snapshot_meta_add_record(meta, SECTION_DEVICE, (uint32_t)i, 0, &writer);
	}
	for (uint32_t i = 0; !failed && i < machine->vcpu_count; i++) {
		failed = vcpu_save(machine_vcpu(machine, i), &writer);
		snapshot_meta_add_record(meta, SECTION_VCPU, i, 0, &writer);
	}
	if (!failed) {
		failed = machine_save(machine, &writer);
		devices_save_generation(devices, &writer);
		snapshot_meta_add_record(meta, SECTION_VM, 0, 0, &writer);
	}
	return failed;
}
