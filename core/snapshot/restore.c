/* SPDX-License-Identifier: BSD-2-Clause */
/* Fills a machine that was built from a snapshot's config with the snapshot's state. */
#include "snapshot/restore.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "device/device.h"
#include "machine/machine.h"
#include "snapshot/host.h"

/*
 * What is unfit about a section, and how the host that made it differs from this one; unless errno,
 * 0 before the attempt, tells that this one lacks something.
 */
static int
unfit(const struct snapshot *snapshot, uint32_t tag, uint32_t index, const char *why)
{
	const struct record *made = snapshot_section(snapshot, SECTION_HOST, 0);
	struct record_writer writer = { 0 };
	enum status status = status_for(errno, STATUS_SNAPSHOT);
	struct record here;
	char there_text[256], here_text[256] = "", name[5];

	if (status == STATUS_HOST)
		return fail(STATUS_HOST, "can't load %s, section %s %u: no memory", snapshot->path,
			    snapshot_tag_name(tag, name), index);
	snapshot_host_save(&writer, NULL);
	if (!writer.failed && !record_open(writer.data, writer.length, &here))
		snapshot_host_text(&here, here_text, sizeof(here_text));
	record_writer_free(&writer);
	snapshot_host_text(made, there_text, sizeof(there_text));
	snapshot_tag_name(tag, name);
	/* Made on one like this: it is not the host that does not fit. */
	if (!strcmp(there_text, here_text))
		return fail(STATUS_SNAPSHOT, "%s does not fit, section %s %u: %s", snapshot->path,
			    name, index, why);
	return fail(STATUS_SNAPSHOT, "%s does not fit, section %s %u: %s (made on %s; this is %s)",
		    snapshot->path, name, index, why, there_text, here_text);
}

int
snapshot_config(const struct snapshot *snapshot, struct config *config)
{
	struct why why;

	if (config_load(config, snapshot_section(snapshot, SECTION_CONFIG, 0), &why))
		goto unfit;
	if (!layout_check_memory((struct layout_range){ config->vm.memory_at, config->vm.memory },
				 config->vm.irqchip, config->cpu.mode == MODE_LONG, &why))
		return 0;
	why_prefix(&why, "its memory ");
unfit:
	errno = why.error;
	return unfit(snapshot, SECTION_CONFIG, 0, why.text);
}

static int
check_memory(const struct snapshot *snapshot, const struct memory *memory)
{
	char why[128];

	if (snapshot->region_count != memory->count) {
		snprintf(why, sizeof(why), "it has %zu regions of memory, the machine %u",
			 snapshot->region_count, memory->count);
		return unfit(snapshot, SECTION_MEMORY, 0, why);
	}
	for (size_t i = 0; i < snapshot->region_count; i++) {
		const struct snapshot_region *saved = &snapshot->regions[i];
		const struct memory_region *region = &memory->regions[i];

		if (saved->gpa == region->gpa && saved->size == region->size)
			continue;
		snprintf(why, sizeof(why),
			 "it has 0x%llx bytes of memory at 0x%llx, the machine 0x%llx at 0x%llx",
			 (unsigned long long)saved->size, (unsigned long long)saved->gpa,
			 (unsigned long long)region->size, (unsigned long long)region->gpa);
		return unfit(snapshot, SECTION_MEMORY, 0, why);
	}
	return 0;
}

/* All that can be known to be unfit before anything is changed. */
static int
check_all(const struct snapshot *snapshot, struct machine *machine, struct devices *devices)
{
	uint32_t vcpus = snapshot_section_count(snapshot, SECTION_VCPU);
	uint32_t device_count = snapshot_section_count(snapshot, SECTION_DEVICE);
	char why[512] = "";
	int failed = check_memory(snapshot, &machine->memory);

	if (failed)
		return failed;
	if (vcpus != machine->vcpu_count) {
		snprintf(why, sizeof(why), "it has %u vCPUs, the machine %u", vcpus,
			 machine->vcpu_count);
		return unfit(snapshot, SECTION_VCPU, 0, why);
	}
	if (device_count != devices->count) {
		snprintf(why, sizeof(why), "it has the state of %u devices, the machine has %zu",
			 device_count, devices->count);
		return unfit(snapshot, SECTION_CONFIG, 0, why);
	}
	for (uint32_t i = 0; i < vcpus; i++)
		if (vcpu_check(machine_vcpu(machine, i),
			       snapshot_section(snapshot, SECTION_VCPU, i), why, sizeof(why)))
			return unfit(snapshot, SECTION_VCPU, i, why);
	for (uint32_t i = 0; i < device_count; i++)
		if (device_check(devices_at(devices, i),
				 snapshot_section(snapshot, SECTION_DEVICE, i), why, sizeof(why)))
			return unfit(snapshot, SECTION_DEVICE, i, why);
	return 0;
}

/* The pages of a file that has a parent over those of the parent; memory is mapped from the first
 * of the chain. */
static int
load_pages(const struct snapshot *snapshot, const struct memory *memory)
{
	uint64_t pages = memory->size / PAGE_SIZE;
	int failed = 0;

	if (!snapshot->pages)
		return 0;
	failed = load_pages(snapshot->parent, memory);
	for (uint64_t page = 0, end; page < pages && !failed; page = end) {
		end = page + 1;
		if (!snapshot_holds(snapshot, page))
			continue;
		while (end < pages && snapshot_holds(snapshot, end) &&
		       memory_page(memory, end) == memory_page(memory, end - 1) + PAGE_SIZE)
			end++;
		failed =
		    snapshot_pread(snapshot, memory_page(memory, page), (end - page) * PAGE_SIZE,
				   snapshot->header.memory_offset + page * PAGE_SIZE);
	}
	return failed;
}

static int
load_generation(const struct snapshot *snapshot, struct devices *devices)
{
	const struct record *group = snapshot_section(snapshot, SECTION_VM, 0);
	char why[64];

	if (devices_check_generation(group, why, sizeof(why)))
		return unfit(snapshot, SECTION_VM, 0, why);
	if (devices->config->snapshot.generation == GENERATION_KEEP)
		devices_load_generation(devices, group);
	return 0;
}

/* vCPUs, then lines and chips, then devices: the order that KVM needs. */
int
snapshot_load_state(const struct snapshot *snapshot, struct machine *machine,
		    struct devices *devices)
{
	char why[512] = "";

	errno = 0;
	for (uint32_t i = 0; i < machine->vcpu_count; i++)
		if (vcpu_load(machine_vcpu(machine, i), snapshot_section(snapshot, SECTION_VCPU, i),
			      why, sizeof(why)))
			return unfit(snapshot, SECTION_VCPU, i, why);
	if (machine_load(machine, snapshot_section(snapshot, SECTION_VM, 0), why, sizeof(why)))
		return unfit(snapshot, SECTION_VM, 0, why);
	for (uint32_t i = 0; i < devices->count; i++)
		if (device_load(devices_at(devices, i),
				snapshot_section(snapshot, SECTION_DEVICE, i), why, sizeof(why)))
			return unfit(snapshot, SECTION_DEVICE, i, why);
	return 0;
}

/* For a machine whose guest is to find the time of day right: all that has passed since, in ns. */
static int
load_time(const struct snapshot *snapshot, struct machine *machine)
{
	const struct record *time = snapshot_section(snapshot, SECTION_TIME, 0);
	uint64_t then, now;
	struct timespec host;

	if (!time || !record_get_u64(time, "realtime", &then))
		return fail(STATUS_SNAPSHOT,
			    "the snapshot %s does not say when it was taken: its clock can't be "
			    "caught up, use clock = resume",
			    snapshot->path);
	clock_gettime(CLOCK_REALTIME, &host);
	now = (uint64_t)host.tv_sec * 1000000000u + (uint64_t)host.tv_nsec;
	if (now > then)
		machine_catch_up(machine, now - then);
	return 0;
}

int
snapshot_load(const struct snapshot *snapshot, struct machine *machine, struct devices *devices)
{
	int failed;

	errno = 0;
	failed = check_all(snapshot, machine, devices);
	if (!failed)
		failed = load_generation(snapshot, devices);
	if (!failed)
		failed = load_pages(snapshot, &machine->memory);
	if (!failed)
		failed = snapshot_load_state(snapshot, machine, devices);
	if (!failed && devices->config->snapshot.clock == CONFIG_CLOCK_WALL)
		failed = load_time(snapshot, machine);
	return failed;
}
