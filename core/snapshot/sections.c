/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of sections, with the functions that save, check and load them. */
#include "snapshot/sections.h"

#include <string.h>
#include <time.h>

#include "base/log.h"
#include "device/device.h"
#include "machine/layout.h"
#include "machine/machine.h"
#include "pci/complex.h"
#include "snapshot/host.h"
#include "snapshot/range_names.h"
#include "snapshot/reader.h"
#include "snapshot/writer.h"

#define VCPU_ROOM 32768u   /* bytes: more than the state of a vCPU */
#define CHIPS_ROOM 32768u  /* bytes: more than that of all chips, without the lines */
#define CONFIG_ROOM 32768u /* bytes: more than an option grows when a device captures */

static int
host_save(const struct section_context *context, uint32_t index, struct record_writer *writer)
{
	snapshot_host_save(writer, context->parent);
	return 0;
}

static int
config_section_save(const struct section_context *context, uint32_t index,
		    struct record_writer *writer)
{
	config_save(context->config, writer);
	return 0;
}

static size_t
config_section_room(const struct section_context *context, uint32_t index)
{
	return CONFIG_ROOM;
}

static unsigned
config_section_changes(const struct section_context *context)
{
	return devices_config_changes(context->devices);
}

static uint64_t
time_of_day(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Not an item of VMVM: a reset compares VMVM, and does not restore the time of day. */
static int
time_save(const struct section_context *context, uint32_t index, struct record_writer *writer)
{
	record_put_u64(writer, "realtime", time_of_day());
	return 0;
}

static size_t
time_room(const struct section_context *context, uint32_t index)
{
	return 64;
}

static int
time_valid(const struct section_context *context, uint32_t index, const struct record *record,
	   struct why *why)
{
	static const char *const names[] = { "realtime", NULL };
	uint64_t then;

	if (!record_get_u64(record, "realtime", &then))
		return why_set(why, "realtime is missing");
	return record_only(record, names, why);
}

/* With clock = wall, advances the guest's clock by the time since the snapshot. */
static int
time_load(const struct section_context *context, uint32_t index, const struct record *record,
	  struct why *why)
{
	uint64_t then, now = time_of_day();

	if (context->config->snapshot.clock != CONFIG_CLOCK_WALL)
		return 0;
	if (!record || !record_get_u64(record, "realtime", &then))
		return fail(STATUS_SNAPSHOT,
			    "cannot restore %s with clock = wall: it has no time of day; "
			    "use clock = resume",
			    context->snapshot->path);
	if (now > then)
		machine_catch_up(context->machine, now - then);
	return 0;
}

static int
names_save(const struct section_context *context, uint32_t index, struct record_writer *writer)
{
	range_names_save(context->machine, context->devices, writer);
	return 0;
}

static int
names_valid(const struct section_context *context, uint32_t index, const struct record *record,
	    struct why *why)
{
	return range_names_valid(record, why);
}

static int
names_load(const struct section_context *context, uint32_t index, const struct record *record,
	   struct why *why)
{
	range_names_load(&context->machine->memory, record);
	return 0;
}

static int
device_section_save(const struct section_context *context, uint32_t index,
		    struct record_writer *writer)
{
	return device_save(devices_at(context->devices, index), writer);
}

static size_t
device_section_room(const struct section_context *context, uint32_t index)
{
	return device_state_size(devices_at(context->devices, index));
}

static int
device_section_valid(const struct section_context *context, uint32_t index,
		     const struct record *record, struct why *why)
{
	return device_valid(context->config, index, record, why);
}

static int
device_section_check(const struct section_context *context, uint32_t index,
		     const struct record *record, struct why *why)
{
	return device_check(devices_at(context->devices, index), record, why);
}

static int
device_section_load(const struct section_context *context, uint32_t index,
		    const struct record *record, struct why *why)
{
	return device_load(devices_at(context->devices, index), record, why);
}

/* If the streams of a machine are detached, they differ from the snapshot's. */
static bool
device_section_ignore(const struct section_context *context, const char *path)
{
	return context->devices->flags & DEVICES_DETACHED && !strncmp(path, "streams", 7);
}

static bool
pci_exists(const struct section_context *context)
{
	return context->devices && pci_complex_of(context->devices);
}

static int
pci_save(const struct section_context *context, uint32_t index, struct record_writer *writer)
{
	pci_complex_save(pci_complex_of(context->devices), writer);
	return 0;
}

static size_t
pci_room(const struct section_context *context, uint32_t index)
{
	return pci_complex_state_size(pci_complex_of(context->devices));
}

static int
pci_check(const struct section_context *context, uint32_t index, const struct record *record,
	  struct why *why)
{
	const struct pci_complex *complex = pci_complex_of(context->devices);

	return complex ? pci_complex_valid(complex, record, why)
		       : why_set(why, "no device of the machine is in a slot");
}

static int
pci_load(const struct section_context *context, uint32_t index, const struct record *record,
	 struct why *why)
{
	struct pci_complex *complex = pci_complex_of(context->devices);

	if (!complex)
		return 0;
	if (!record)
		return why_set(why, "it has no state of the devices in slots");
	pci_complex_load(complex, record);
	return 0;
}

static int
vcpu_section_save(const struct section_context *context, uint32_t index,
		  struct record_writer *writer)
{
	return vcpu_save(machine_vcpu(context->machine, index), writer);
}

static size_t
vcpu_section_room(const struct section_context *context, uint32_t index)
{
	return VCPU_ROOM;
}

static int
vcpu_section_valid(const struct section_context *context, uint32_t index,
		   const struct record *record, struct why *why)
{
	return vcpu_valid(record, context->config->vm.irqchip, why);
}

static int
vcpu_section_check(const struct section_context *context, uint32_t index,
		   const struct record *record, struct why *why)
{
	return vcpu_check(machine_vcpu(context->machine, index), record, why);
}

static int
vcpu_section_load(const struct section_context *context, uint32_t index,
		  const struct record *record, struct why *why)
{
	return vcpu_load(machine_vcpu(context->machine, index), record, why);
}

static int
machine_section_save(const struct section_context *context, uint32_t index,
		     struct record_writer *writer)
{
	int r = machine_save(context->machine, writer);

	devices_save_generation(context->devices, writer);
	return r;
}

static size_t
machine_section_room(const struct section_context *context, uint32_t index)
{
	return CHIPS_ROOM + irqs_state_size(&context->machine->irqs);
}

static int
machine_section_valid(const struct section_context *context, uint32_t index,
		      const struct record *record, struct why *why)
{
	if (devices_check_generation(record, why))
		return -1;
	return machine_valid(record, context->config->vm.irqchip, "generation", why);
}

static int
machine_section_check(const struct section_context *context, uint32_t index,
		      const struct record *record, struct why *why)
{
	return machine_check(context->machine, record, why);
}

static int
machine_section_load(const struct section_context *context, uint32_t index,
		     const struct record *record, struct why *why)
{
	if (context->config->snapshot.generation == GENERATION_KEEP)
		devices_load_generation(context->devices, record);
	return machine_load(context->machine, record, why);
}

/* The parser has compared the record with the file; this compares it with the config. */
static int
memory_section_valid(const struct section_context *context, uint32_t index,
		     const struct record *record, struct why *why)
{
	const struct snapshot *snapshot = context->snapshot;
	const struct config *config = context->config;
	struct layout_range pieces[2];
	uint32_t count =
	    layout_memory((struct layout_range){ config->vm.memory_at, config->vm.memory },
			  config->vm.irqchip, snapshot->region_count == 1, pieces);

	if (snapshot->region_count != count)
		return why_set(why, "it has %zu memory regions, the machine has %u",
			       snapshot->region_count, count);
	for (size_t i = 0; i < snapshot->region_count; i++) {
		const struct snapshot_region *saved = &snapshot->regions[i];
		const struct layout_range *region = &pieces[i];

		if (saved->gpa == region->at && saved->size == region->size)
			continue;
		return why_set(
		    why,
		    "it has 0x%llx bytes of memory at 0x%llx, the machine has 0x%llx at 0x%llx",
		    (unsigned long long)saved->size, (unsigned long long)saved->gpa,
		    (unsigned long long)region->size, (unsigned long long)region->at);
	}
	return 0;
}

static uint8_t *
page_of_memory(const void *memory, uint64_t page)
{
	return memory_page(memory, page);
}

/* Memory is a mapping of the first file of the chain. */
static int
memory_section_load(const struct section_context *context, uint32_t index,
		    const struct record *record, struct why *why)
{
	return snapshot_overlay(context->snapshot, page_of_memory, &context->machine->memory);
}

/*
 * In the order of the file. Devices are saved before vCPUs, and vCPUs before chips: saving one may
 * inject an interrupt into the next.
 */
const struct section sections[] = {
	{
	    .tag = SECTION_HOST,
	    .name = "host",
	    .count = SECTION_ONE,
	    .saved = SAVED_BEFORE_STOP, /* executes CPUID, which exits in a VM */
	    .save = host_save,
	},
	{
	    .tag = SECTION_NAMES,
	    .name = "names of addresses",
	    .count = SECTION_OPTIONAL,
	    .saved = SAVED_BEFORE_STOP,
	    .loaded = LOADED_LAST,
	    .skippable = true,
	    .save = names_save,
	    .valid = names_valid,
	    .load = names_load,
	},
	{
	    .tag = SECTION_CONFIG,
	    .name = "config",
	    .key = "config",
	    .count = SECTION_ONE,
	    .saved = SAVED_BEFORE_STOP,
	    .loaded = LOADED_CONFIG,
	    .changes = config_section_changes, /* devices_capture may change options */
	    .save = config_section_save,
	    .room = config_section_room,
	},
	{
	    .tag = SECTION_TIME,
	    .name = "time",
	    .count = SECTION_OPTIONAL,
	    .saved = SAVED_IN_STOP,
	    .loaded = LOADED_LAST,
	    .skippable = true,
	    .save = time_save,
	    .room = time_room,
	    .valid = time_valid,
	    .load = time_load,
	},
	{
	    .tag = SECTION_DEVICE,
	    .name = "device",
	    .key = "device",
	    .count = SECTION_PER_DEVICE,
	    .saved = SAVED_IN_STOP,
	    .loaded = LOADED_DEVICES,
	    .state = true,
	    .named = true,
	    .save = device_section_save,
	    .room = device_section_room,
	    .valid = device_section_valid,
	    .check = device_section_check,
	    .load = device_section_load,
	    .ignore = device_section_ignore,
	},
	{
	    .tag = SECTION_PCI,
	    .name = "PCI",
	    .key = "pci",
	    .count = SECTION_OPTIONAL,
	    .exists = pci_exists,
	    .saved = SAVED_IN_STOP,
	    .loaded = LOADED_DEVICES,
	    .state = true,
	    .save = pci_save,
	    .room = pci_room,
	    .check = pci_check,
	    .load = pci_load,
	},
	{
	    .tag = SECTION_VCPU,
	    .name = "vCPU",
	    .key = "vcpu",
	    .count = SECTION_PER_VCPU,
	    .saved = SAVED_IN_STOP,
	    .loaded = LOADED_VCPUS,
	    .state = true,
	    .save = vcpu_section_save,
	    .room = vcpu_section_room,
	    .valid = vcpu_section_valid,
	    .check = vcpu_section_check,
	    .load = vcpu_section_load,
	},
	{
	    .tag = SECTION_VM,
	    .name = "machine",
	    .key = "machine",
	    .count = SECTION_ONE,
	    .saved = SAVED_IN_STOP,
	    .loaded = LOADED_CHIPS,
	    .state = true,
	    .save = machine_section_save,
	    .room = machine_section_room,
	    .valid = machine_section_valid,
	    .check = machine_section_check,
	    .load = machine_section_load,
	},
	{
	    .tag = SECTION_MEMORY,
	    .name = "memory map",
	    .count = SECTION_ONE,
	    .saved = SAVED_WITH_MEMORY,
	    .loaded = LOADED_MEMORY,
	    .valid = memory_section_valid,
	    .load = memory_section_load,
	},
	{
	    .tag = SECTION_SUMS,
	    .name = "checksums of memory",
	    .count = SECTION_ONE,
	    .saved = SAVED_WITH_MEMORY,
	    .raw = true,
	},
	{
	    .tag = SECTION_PAGES,
	    .name = "bitmap of pages",
	    .count = SECTION_OPTIONAL,
	    .saved = SAVED_WITH_MEMORY,
	    .raw = true,
	},
	{ 0 },
};
_Static_assert(sizeof(sections) / sizeof(sections[0]) <= SECTION_KINDS_MAX + 1,
	       "the parser has an array of SECTION_KINDS_MAX counters");
