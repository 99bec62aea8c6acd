/* SPDX-License-Identifier: BSD-2-Clause */
/* Resets in place. */
#include "snapshot/reset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/mutant.h"
#include "machine/dirty.h"
#include "snapshot/restore.h"

int
reset_init(struct reset *reset, const struct snapshot *snapshot, struct machine *machine,
	   struct devices *devices)
{
	*reset = (struct reset){
		.snapshot = snapshot,
		.machine = machine,
		.devices = devices,
		.pages = calloc(memory_words(&machine->memory) + 1, sizeof(uint64_t)),
		.known = dirty_on(machine) && !clock_now(&machine->clock),
	};
	if (!reset->pages)
		return fail(STATUS_HOST, "no memory for a bitmap of guest memory");
	reset->watch.pages = reset->pages;
	dirty_watch_add(machine, &reset->watch);
	return snapshot_map(snapshot, &reset->golden);
}

void
reset_free(struct reset *reset)
{
	if (reset->golden)
		munmap((void *)reset->golden, reset->snapshot->header.memory_size);
	if (reset->machine)
		dirty_watch_remove(reset->machine, &reset->watch);
	free(reset->pages);
	*reset = (struct reset){ 0 };
}

static int
put_pages_back(struct reset *reset)
{
	const struct memory *memory = &reset->machine->memory;
	size_t words = memory_words(memory);
	int failed;

	failed = dirty_look(reset->machine, NULL);
	/* Nobody has looked before: what is no longer the file's, or all. */
	if (!failed && !reset->known && !memory_private_pages(memory, reset->pages))
		for (uint64_t page = 0; page < memory->size / PAGE_SIZE; page++)
			reset->pages[page / 64] |= 1ull << page % 64;
	for (size_t i = 0; i < words && !failed && !mutant("reset", "pages"); i++)
		for (uint64_t word = reset->pages[i]; word; word &= word - 1) {
			uint64_t page = i * 64 + (uint64_t)__builtin_ctzll(word);

			memcpy(memory_page(memory, page), reset->golden + page * PAGE_SIZE,
			       PAGE_SIZE);
		}
	dirty_note(reset->machine, reset->pages);
	if (!failed)
		memset(reset->pages, 0, words * sizeof(*reset->pages));
	reset->known = !failed;
	return failed;
}

int
reset_run(struct reset *reset)
{
	struct machine *m = reset->machine;
	int failed = put_pages_back(reset);

	if (!failed && !mutant("reset", "state"))
		failed = snapshot_load_state(reset->snapshot, m, reset->devices);
	if (!failed)
		failed = devices_start(reset->devices, MINIVMM_RESET);
	return failed;
}

/* What a comparison finds first. */
struct difference {
	char *why;
	size_t size;
	const char *what;
	uint32_t index;
	bool detached; /* the machine has other streams than the snapshot's */
};

static void
differs(void *context, const char *path, const struct record *a, const struct record *b)
{
	struct difference *d = context;

	if (d->detached && !strncmp(path, "streams", 7))
		return;
	if (!*d->why)
		snprintf(d->why, d->size, "%s %u: %s differs", d->what, d->index, path);
}

static int
compare(const struct reset *reset, uint32_t tag, uint32_t index, struct record_writer *writer,
	const char *what, char *why, size_t why_size)
{
	struct difference difference = { why, why_size, what, index,
					 reset->devices->flags & DEVICES_DETACHED };
	struct record now;

	if (writer->failed || record_open(writer->data, writer->length, &now))
		snprintf(why, why_size, "%s %u can't be saved", what, index);
	else
		record_compare(snapshot_section(reset->snapshot, tag, index), &now, "", differs,
			       &difference);
	record_writer_free(writer);
	*writer = (struct record_writer){ 0 };
	return *why ? -1 : 0;
}

/* Puts KVM's own writes in a copy of a page, so that they don't count. */
static void
ignore_areas(const struct reset *reset, gpa_t gpa, const uint8_t *now, uint8_t *wanted)
{
	struct kvm_area areas[KVM_OWN_AREAS];

	for (uint32_t v = 0; v < reset->machine->vcpu_count; v++) {
		size_t count = vcpu_own_areas(machine_vcpu(reset->machine, v), areas);

		for (size_t i = 0; i < count; i++)
			for (uint64_t at = areas[i].gpa; at < areas[i].gpa + areas[i].size; at++)
				if (at >= gpa && at - gpa < PAGE_SIZE)
					wanted[at - gpa] = now[at - gpa];
	}
}

static int
check_memory(const struct reset *reset, char *why, size_t why_size)
{
	uint8_t wanted[PAGE_SIZE];

	for (uint32_t i = 0; i < reset->machine->memory.count; i++) {
		const struct memory_region *region = &reset->machine->memory.regions[i];

		for (uint64_t at = 0; at < region->size; at += PAGE_SIZE) {
			unsigned long long gpa = region->gpa + at;

			if (!memcmp(region->host + at, reset->golden + region->offset + at,
				    PAGE_SIZE))
				continue;
			memcpy(wanted, reset->golden + region->offset + at, PAGE_SIZE);
			ignore_areas(reset, region->gpa + at, region->host + at, wanted);
			if (!memcmp(region->host + at, wanted, PAGE_SIZE))
				continue;
			snprintf(why, why_size, "memory at 0x%llx differs", gpa);
			return -1;
		}
	}
	return 0;
}

int
reset_check(struct reset *reset, char *why, size_t why_size)
{
	struct record_writer writer = { 0 };
	struct machine *m = reset->machine;
	int r;

	*why = '\0';
	r = check_memory(reset, why, why_size);
	for (size_t i = 0; i < reset->devices->count && !r; i++) {
		device_save(devices_at(reset->devices, i), &writer);
		r = compare(reset, SECTION_DEVICE, (uint32_t)i, &writer, "device", why, why_size);
	}
	for (uint32_t i = 0; i < m->vcpu_count && !r; i++) {
		vcpu_save(machine_vcpu(m, i), &writer);
		r = compare(reset, SECTION_VCPU, i, &writer, "vCPU", why, why_size);
	}
	if (!r) {
		machine_save(m, &writer);
		devices_save_generation(reset->devices, &writer);
		r = compare(reset, SECTION_VM, 0, &writer, "machine", why, why_size);
	}
	return r;
}
