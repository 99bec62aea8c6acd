/* SPDX-License-Identifier: BSD-2-Clause */
/* What is told of a machine that has stopped: registers, dirty pages, the status line. */
#include "cli/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/show.h"

#define RUNS_SHOWN 16u

void
report_registers(struct machine *machine)
{
	for (uint32_t i = 0; i < machine->vcpu_count; i++)
		vcpu_print(&machine->vcpus[i], MINIVMM_ERROR);
}

/* Adds "0x2000" or "0x2000-0x4fff" to the text, if there is room. */
static void
add_run(char *text, size_t size, gpa_t first, gpa_t end, unsigned number)
{
	size_t length = strlen(text);

	if (number == RUNS_SHOWN)
		snprintf(text + length, size - length, ", ...");
	else if (number < RUNS_SHOWN && end - first == PAGE_SIZE)
		snprintf(text + length, size - length, "%s0x%llx", number ? ", " : "",
			 (unsigned long long)first);
	else if (number < RUNS_SHOWN)
		snprintf(text + length, size - length, "%s0x%llx-0x%llx", number ? ", " : "",
			 (unsigned long long)first, (unsigned long long)end - 1);
}

static uint64_t
region_dirty(const struct memory_region *region, const uint64_t *bitmap, char *text, size_t size,
	     unsigned *runs)
{
	uint64_t pages = region->size / PAGE_SIZE, dirty = 0, first = 0;
	bool in_run = false;

	for (uint64_t page = 0; page <= pages; page++) {
		bool set = page < pages && bitmap[page / 64] >> page % 64 & 1;

		dirty += set;
		if (set && !in_run)
			first = page;
		else if (!set && in_run)
			add_run(text, size, region->gpa + first * PAGE_SIZE,
				region->gpa + page * PAGE_SIZE, (*runs)++);
		in_run = set;
	}
	return dirty;
}

void
report_dirty(struct machine *machine)
{
	char text[512] = "";
	uint64_t dirty = 0;
	unsigned runs = 0;

	for (uint32_t i = 0; i < machine->memory.count; i++) {
		const struct memory_region *region = &machine->memory.regions[i];
		uint64_t *bitmap = calloc(region->size / PAGE_SIZE / 64 + 1, sizeof(*bitmap));

		if (bitmap && !kvm_dirty_log(&machine->kvm, i, bitmap))
			dirty += region_dirty(region, bitmap, text, sizeof(text), &runs);
		free(bitmap);
	}
	log_line(MINIVMM_INFO, NULL, "the guest dirtied %llu page%s%s%s", (unsigned long long)dirty,
		 dirty == 1 ? "" : "s", dirty ? ": " : "", text);
}

int
report_status(const char *path, struct machine *machine, struct devices *devices, const char *point,
	      int status)
{
	uint64_t exits = 0, accesses = 0;
	FILE *file = fopen(path, "we");
	bool bad;

	if (!file)
		return fail(status_for(errno, STATUS_IO), "cannot write the status to %s: %s", path,
			    strerror(errno));
	for (uint32_t i = 0; i < machine->vcpu_count; i++) {
		exits += machine->vcpus[i].exits;
		accesses += machine->vcpus[i].accesses;
	}
	fprintf(
	    file,
	    "{\"cause\":\"%s\",\"exit\":%d,\"guest_status\":%llu,\"time_ns\":%llu,\"exits\":%llu,"
	    "\"accesses\":%llu,\"unanswered\":%llu,",
	    machine_cause_name(machine->end.cause), status,
	    machine->end.cause == CAUSE_EXIT ? (unsigned long long)machine->end.status : 0,
	    (unsigned long long)clock_now(&machine->clock), (unsigned long long)exits,
	    (unsigned long long)accesses, (unsigned long long)machine->bus.stray);
	if (machine->end.cause == CAUSE_POINT && point) {
		fputs("\"point\":", file);
		show_json_text(file, point, strlen(point));
		fputc(',', file);
	}
	fputs("\"devices\":{", file);
	for (size_t i = 0; i < devices->count; i++) {
		uint64_t reads = 0, writes = 0;

		bus_count(&machine->bus, &devices->list[i].public, &reads, &writes);
		fprintf(file, "%s\"%s\":{\"reads\":%llu,\"writes\":%llu,\"failures\":%llu}",
			i ? "," : "", devices->list[i].config->name, (unsigned long long)reads,
			(unsigned long long)writes, (unsigned long long)devices->list[i].failures);
	}
	fputs("}}\n", file);
	bad = ferror(file);
	bad |= fclose(file) != 0;
	return bad ? fail(STATUS_IO, "the status in %s is not complete: %s", path, strerror(errno))
		   : 0;
}
