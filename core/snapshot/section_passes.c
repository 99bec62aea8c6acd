/* SPDX-License-Identifier: BSD-2-Clause */
/* Passes over the table of sections. */
#include "snapshot/sections.h"

#include "device/device.h"
#include "machine/machine.h"
#include "pci/complex.h"
#include "snapshot/writer.h"

const struct section *
section_find(uint32_t tag)
{
	for (const struct section *s = sections; s->name; s++)
		if (s->tag == tag)
			return s;
	return NULL;
}

const struct section *
section_next_loaded(const struct section *section)
{
	enum section_loaded loaded = section ? section->loaded : LOADED_CONFIG;
	const struct section *s = section ? section + 1 : sections;

	for (; loaded <= LOADED_LAST; loaded++, s = sections)
		for (; s->name; s++)
			if (s->loaded == loaded)
				return s;
	return NULL;
}

uint32_t
section_min(const struct section *section)
{
	return section->count == SECTION_ONE || section->count == SECTION_PER_VCPU;
}

uint32_t
section_max(const struct section *section)
{
	switch (section->count) {
	case SECTION_PER_VCPU:
		return KVM_VCPUS;
	case SECTION_PER_DEVICE:
		return SNAPSHOT_SECTIONS_MAX;
	default:
		return 1;
	}
}

struct section_context
section_context(struct machine *machine, struct devices *devices)
{
	return (struct section_context){ .machine = machine,
					 .devices = devices,
					 .config = devices->config };
}

uint32_t
section_count(const struct section *section, const struct section_context *context)
{
	switch (section->count) {
	case SECTION_PER_VCPU:
		return context->config->vm.cpus;
	case SECTION_PER_DEVICE:
		return (uint32_t)context->config->device_count;
	default:
		return !section->exists || section->exists(context);
	}
}

size_t
sections_room(const struct section_context *context)
{
	size_t sum = 0;

	for (const struct section *s = sections; s->name; s++) {
		uint32_t count = s->room ? section_count(s, context) : 0;

		for (uint32_t i = 0; i < count; i++)
			sum += s->room(context, i);
	}
	return sum;
}

static int
save(const struct section_context *context, const struct section *s, struct snapshot_meta *meta)
{
	uint32_t count = section_count(s, context), flags = s->skippable ? SECTION_SKIPPABLE : 0;
	int failed = 0;

	for (uint32_t i = 0; i < count && !failed; i++) {
		failed = s->save(context, i, snapshot_meta_begin(meta, s->tag, i, flags));
		snapshot_meta_end(meta);
	}
	if (s->changes)
		meta->changes = s->changes(context);
	return failed;
}

int
sections_save(const struct section_context *context, enum section_saved saved,
	      struct snapshot_meta *meta)
{
	int failed = 0;

	for (const struct section *s = sections; s->name && !failed; s++) {
		bool again =
		    saved == SAVED_IN_STOP && s->changes && s->changes(context) != meta->changes;

		if (again)
			snapshot_meta_drop(meta);
		if (again || (s->save && s->saved == saved))
			failed = save(context, s, meta);
	}
	return failed;
}
