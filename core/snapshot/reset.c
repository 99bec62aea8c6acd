/* SPDX-License-Identifier: BSD-2-Clause */
/* Resets a machine in place, and checks a reset. */
#include "snapshot/reset.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/mutant.h"
#include "device/device.h"
#include "machine/machine.h"
#include "snapshot/restore.h"
#include "snapshot/sections.h"

#define RESET_LOST "cannot reset the machine to its beginning: %s"

/* If the dirty log was not on from the start: the pages that differ from the snapshot. This looks
 * at each page of the memory, so the machine may still run: the log records what follows. */
static int
find_changes(struct reset *reset)
{
	const struct memory *memory = &reset->machine->memory;
	int r = reset->known ? 0 : dirty_start(reset->machine);
	struct why why;

	if (r || reset->known)
		return r;
	if (!reset->kept)
		reset->known = memory_private_pages(memory, reset->pages);
	else if (kept_find_changes(reset->kept, memory, reset->pages, &why))
		return fail(why_status(&why, STATUS_IO), RESET_LOST, why.text);
	else
		reset->known = true;
	return 0;
}

int
reset_init(struct reset *reset, const struct snapshot *snapshot, const struct kept_memory *kept,
	   struct machine *machine, struct devices *devices)
{
	int r;

	*reset = (struct reset){
		.snapshot = snapshot,
		.kept = kept,
		.machine = machine,
		.devices = devices,
		.pages = calloc(memory_words(&machine->memory) + 1, sizeof(uint64_t)),
		.known = dirty_on(machine) && !clock_now(&machine->clock),
	};
	if (!reset->pages)
		return fail_memory("preparing for resets");
	reset->watch.pages = reset->pages;
	dirty_watch_add(machine, &reset->watch);
	r = find_changes(reset);
	return r || kept ? r : snapshot_map(snapshot, &reset->image);
}

int
reset_ready(const struct reset *reset)
{
	struct why why;

	if (reset->kept && kept_check(reset->kept, &reset->machine->memory, &why))
		return fail(why_status(&why, STATUS_IO), RESET_LOST, why.text);
	return 0;
}

void
reset_free(struct reset *reset)
{
	if (reset->image)
		munmap((void *)reset->image, reset->snapshot->header.memory_size);
	if (reset->machine)
		dirty_watch_remove(reset->machine, &reset->watch);
	free(reset->pages);
	for (size_t i = 0; i < reset->record_count; i++)
		free(reset->records[i].bytes);
	free(reset->records);
	*reset = (struct reset){ 0 };
}

static bool
is_set(const uint64_t *pages, uint64_t page)
{
	return pages[page / 64] >> page % 64 & 1;
}

/* Copies back a run of pages of one region, which begins with this page of the image. Stores the
 * page behind it. */
static int
restore_run(const struct reset *reset, uint64_t page, uint64_t *end)
{
	const struct memory *memory = &reset->machine->memory;
	uint8_t *to = memory_page(memory, page);
	size_t size = PAGE_SIZE;
	struct why why;

	for (*end = page + 1; *end < memory->size / PAGE_SIZE && is_set(reset->pages, *end) &&
			      memory_page(memory, *end) == to + size;
	     ++*end)
		size += PAGE_SIZE;
	if (!reset->kept)
		memcpy(to, reset->image + page * PAGE_SIZE, size);
	else if (kept_read(reset->kept, to, to, size, &why))
		return fail(why_status(&why, STATUS_IO), RESET_LOST, why.text);
	return 0;
}

static int
restore_pages(struct reset *reset)
{
	const struct memory *memory = &reset->machine->memory;
	uint64_t count = memory->size / PAGE_SIZE;
	int failed;

	failed = dirty_poll(reset->machine, NULL);
	/* The host does not report which pages differ from the mapped file: restore all. */
	if (!failed && !reset->known)
		for (uint64_t page = 0; page < count; page++)
			reset->pages[page / 64] |= 1ull << page % 64;
	for (uint64_t page = 0, end; page < count && !failed && !mutant("reset", "pages");
	     page = end) {
		end = reset->pages[page / 64] ? page + 1 : (page / 64 + 1) * 64;
		if (is_set(reset->pages, page))
			failed = restore_run(reset, page, &end);
	}
	dirty_mark(reset->machine, reset->pages);
	if (!failed)
		memset(reset->pages, 0, memory_words(memory) * sizeof(*reset->pages));
	reset->known = !failed;
	return failed;
}

static int
remember(struct reset *reset, const struct section_context *context, const struct section *section,
	 uint32_t index)
{
	struct reset_record *records =
	    realloc(reset->records, (reset->record_count + 1) * sizeof(*records));
	struct record_writer writer = { 0 };
	int r;

	if (!records)
		return fail_memory("the state of the restore");
	reset->records = records;
	r = section->save(context, index, &writer);
	records[reset->record_count++] =
	    (struct reset_record){ .bytes = writer.data, .length = writer.length };
	return r || !writer.failed ? r : fail_memory("the state of the restore");
}

int
reset_remember(struct reset *reset)
{
	struct section_context context = section_context(reset->machine, reset->devices);
	int r = 0;

	for (const struct section *s = sections; s->name && !r; s++)
		for (uint32_t i = 0; s->state && i < section_count(s, &context) && !r; i++)
			r = remember(reset, &context, s, i);
	return r;
}

/* The context of a comparison: keeps the first difference. */
struct difference {
	const struct section_context *context;
	const struct section *section;
	uint32_t index;
	size_t number; /* of the section, counting those with state */
	struct why *why;
	int found; /* 0, or -1 with the reason in why */
};

static void
differs(void *context, const char *path, const struct record *a, const struct record *b)
{
	struct difference *d = context;

	if (!d->found && !(d->section->ignore && d->section->ignore(d->context, path)))
		d->found = why_set(d->why, "%s %u: %s differs", d->section->name, d->index, path);
}

static int
compare(const struct reset *reset, struct difference *d)
{
	const struct record *saved = snapshot_section(reset->snapshot, d->section->tag, d->index);
	struct record_writer writer = { 0 };
	struct record now, restored;

	if (!saved) /* a SECTION_OPTIONAL */
		return 0;
	if (d->number < reset->record_count) {
		const struct reset_record *kept = &reset->records[d->number];

		if (record_open(kept->bytes, kept->length, &restored, NULL))
			return why_set(d->why, "%s %u cannot be read", d->section->name, d->index);
		saved = &restored;
	}
	if (d->section->save(d->context, d->index, &writer) || writer.failed ||
	    record_open(writer.data, writer.length, &now, NULL))
		d->found = why_set(d->why, "%s %u cannot be saved", d->section->name, d->index);
	else
		record_compare(saved, &now, "", differs, d);
	record_writer_free(&writer);
	return d->found;
}

/* Copies the areas that KVM itself writes from the machine's page to the expected one. */
static void
ignore_areas(const struct reset *reset, gpa_t gpa, const uint8_t *now, uint8_t *expected)
{
	struct kvm_area areas[KVM_OWN_AREAS];

	for (uint32_t v = 0; v < reset->machine->vcpu_count; v++) {
		size_t count = vcpu_own_areas(machine_vcpu(reset->machine, v), areas);

		for (size_t i = 0; i < count; i++)
			for (uint64_t at = areas[i].gpa; at < areas[i].gpa + areas[i].size; at++)
				if (at >= gpa && at - gpa < PAGE_SIZE)
					expected[at - gpa] = now[at - gpa];
	}
}

/* The expected content of a page of a region. */
static int
read_expected(const struct reset *reset, const struct memory_region *region, uint64_t at,
	      uint8_t *expected, struct why *why)
{
	if (reset->kept)
		return kept_read(reset->kept, region->host + at, expected, PAGE_SIZE, why);
	memcpy(expected, reset->image + region->offset + at, PAGE_SIZE);
	return 0;
}

static int
check_memory(const struct reset *reset, struct why *why)
{
	uint8_t expected[PAGE_SIZE];

	for (uint32_t i = 0; i < reset->machine->memory.count; i++) {
		const struct memory_region *region = memory_region_at(&reset->machine->memory, i);

		for (uint64_t at = 0; at < region->size; at += PAGE_SIZE) {
			unsigned long long gpa = region->gpa + at;

			if (read_expected(reset, region, at, expected, why))
				return -1;
			if (!memcmp(region->host + at, expected, PAGE_SIZE))
				continue;
			ignore_areas(reset, region->gpa + at, region->host + at, expected);
			if (!memcmp(region->host + at, expected, PAGE_SIZE))
				continue;
			return why_set(why, "memory at 0x%llx differs", gpa);
		}
	}
	return 0;
}

/* Compares all memory with the snapshot, and the state with what reset_remember has kept. */
static void
check(struct reset *reset)
{
	struct section_context context = section_context(reset->machine, reset->devices);
	struct why *why = &reset->difference;
	int r = check_memory(reset, why);
	size_t number = 0;

	for (const struct section *s = sections; s->name && !r; s++) {
		uint32_t count = s->state ? section_count(s, &context) : 0;
		struct difference difference = { .context = &context, .section = s, .why = why };

		for (; difference.index < count && !r; difference.index++) {
			difference.number = number++;
			r = compare(reset, &difference);
		}
	}
	reset->incomplete = r;
}

const char *
reset_difference(const struct reset *reset)
{
	return reset->incomplete ? reset->difference.text : NULL;
}

int
reset_run(struct reset *reset)
{
	struct machine *m = reset->machine;
	int failed = restore_pages(reset);

	if (!failed && !mutant("reset", "state"))
		failed = snapshot_load_state(reset->snapshot, m, reset->devices);
	if (!failed && reset->record_count) /* now: devices may work when they have started */
		check(reset);
	if (!failed)
		failed = devices_start(reset->devices, MINIVMM_RESET);
	return failed;
}
