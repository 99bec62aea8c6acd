/* SPDX-License-Identifier: BSD-2-Clause */
/* Reports on a machine that has stopped: registers, dirty pages, the status line. */
#include "vm/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/limit.h"
#include "base/log.h"
#include "machine/dirty.h"
#include "snapshot/vmcoreinfo.h"
#include "vm/vm_status.h"

#define RUNS_SHOWN 16u

void
report_registers(struct machine *machine)
{
	const struct machine_end *end = &machine->end;

	for (uint32_t i = 0; i < machine->vcpu_count; i++)
		if (end->cause != CAUSE_INTERNAL || end->status != i)
			vcpu_print(machine_vcpu(machine, i), MINIVMM_ERROR);
}

static void
report_shutdown(uint64_t vcpu, const struct symbols *symbols, struct vcpu_code *code)
{
	char text[VCPU_CODE_TEXT], name[256], in[264] = "";

	if (symbols && symbols_text(symbols, code->at, name, sizeof(name)))
		snprintf(in, sizeof(in), " in %s", name);

	log_line(MINIVMM_ERROR, NULL,
		 "vCPU %llu: triple fault at rip 0x%llx%s, cr2 0x%llx; at rip: %s",
		 (unsigned long long)vcpu, (unsigned long long)code->rip, in,
		 (unsigned long long)code->cr2, vcpu_code_text(code, text));
	if (!code->reset)
		return;
	log_line(
	    MINIVMM_ERROR, NULL,
	    "on AMD, KVM resets the registers before it reports a triple fault: they are those "
	    "of a reset, not of the fault; the last lines of --trace FILE lead to it");
	code->length = 0;
}

/* Whether a guest ends with this cause that does not know what it does. */
static bool
may_run_away(enum machine_cause cause)
{
	return cause == CAUSE_INTERNAL || cause == CAUSE_SHUTDOWN || cause == CAUSE_TIMEOUT ||
	       cause == CAUSE_SIGNAL || cause == CAUSE_QUIT;
}

/*
 * Explains a vCPU in real mode at an address without code: zeros, or no memory. Its last interrupt
 * or exception has probably gone through a vector that nobody has filled.
 */
static void
report_runaway(struct machine *machine, uint32_t index)
{
	static const uint8_t zeros[16];
	uint8_t bytes[sizeof(zeros)];
	struct vcpu *vcpu = machine_vcpu(machine, index);
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	bool memory, halted;
	gpa_t at;

	if (vcpu_halted(vcpu, &halted) || halted || vcpu_registers(vcpu, &regs, &sregs) ||
	    sregs.cr0 & 1)
		return;
	/* The address of a reset: it has not begun, or KVM has reset it after a triple fault. */
	if (sregs.cs.base == 0xffff0000 && regs.rip == 0xfff0)
		return;
	at = sregs.cs.base + regs.rip;
	memory = !memory_read(&machine->memory, at, bytes, sizeof(bytes));
	if (memory && memcmp(bytes, zeros, sizeof(zeros)) != 0)
		return;
	log_line(MINIVMM_WARNING, NULL,
		 "vCPU %u runs in real mode at 0x%llx, where there is %s: perhaps an interrupt or "
		 "exception (int N) went through an empty vector of the table at 0, which a BIOS "
		 "would fill; minivmm has no BIOS",
		 index, (unsigned long long)at, memory ? "no code, only zeros" : "no memory");
}

void
report_end(struct machine *machine, const struct symbols *symbols, struct vcpu_code *code)
{
	const struct machine_end *end = &machine->end;
	struct vcpu *vcpu;

	*code = (struct vcpu_code){ .length = 0 };
	for (uint32_t i = 0; may_run_away(end->cause) && i < machine->vcpu_count; i++)
		report_runaway(machine, i);
	if ((end->cause != CAUSE_SHUTDOWN && end->cause != CAUSE_INTERNAL) ||
	    end->status >= machine->vcpu_count)
		return;
	vcpu = machine_vcpu(machine, (uint32_t)end->status);
	if (vcpu_code(vcpu, code))
		return;
	if (end->cause == CAUSE_SHUTDOWN)
		report_shutdown(end->status, symbols, code);
	else
		vcpu_print(vcpu, MINIVMM_ERROR);
}

uint64_t
report_kernel_offset(const struct vm *vm)
{
	struct vmcoreinfo info;

	return vmcoreinfo_find_memory(&info, &vm->machine.memory) ? vmcoreinfo_offset(&info) : 0;
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

/* Adds the runs of a region's pages to the text; returns how many pages. */
static uint64_t
region_dirty(const struct memory_region *region, const uint64_t *bitmap, char *text, size_t size,
	     unsigned *runs)
{
	uint64_t pages = region->size / PAGE_SIZE, before = region->offset / PAGE_SIZE;
	uint64_t dirty = 0, first = 0;
	bool in_run = false;

	for (uint64_t page = 0; page <= pages; page++) {
		uint64_t bit = before + page;
		bool set = page < pages && bitmap[bit / 64] >> bit % 64 & 1;

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
	uint64_t *bitmap = calloc(memory_words(&machine->memory), sizeof(*bitmap)), dirty = 0;
	const uint64_t *guest = dirty_guest(machine);
	char text[512] = "";
	unsigned runs = 0;

	if (guest && bitmap && !dirty_poll(machine, bitmap))
		for (uint32_t i = 0; i < machine->memory.count; i++)
			dirty += region_dirty(memory_region_at(&machine->memory, i), guest, text,
					      sizeof(text), &runs);
	free(bitmap);
	log_line(MINIVMM_INFO, NULL, "the guest dirtied %llu page%s%s%s", (unsigned long long)dirty,
		 dirty == 1 ? "" : "s", dirty ? ": " : "", text);
}

int
report_exit(const struct machine_end *end)
{
	switch (end->cause) {
	case CAUSE_EXIT:
		return end->status > STATUS_GUEST_MAX ? STATUS_GUEST_MAX : (int)end->status;
	case CAUSE_SHUTDOWN:
		return STATUS_SHUTDOWN;
	case CAUSE_INTERNAL:
		return STATUS_INTERNAL;
	case CAUSE_PANIC:
		return STATUS_PANIC;
	case CAUSE_TIMEOUT:
		return STATUS_TIMEOUT;
	case CAUSE_ERROR:
		return (int)end->status;
	default:
		return 0;
	}
}

int
report_status(const struct vm *vm, int status)
{
	const struct machine *machine = &vm->machine;
	const char *path = vm->source.status;
	FILE *file = file_open_report(path, NULL);
	struct why why;
	bool bad;

	if (!file) {
		file_why(path, errno, &why);
		return fail(why_status(&why, STATUS_IO), "cannot write the status to %s: %s", path,
			    why.text);
	}
	fprintf(file, "{\"cause\":\"%s\",\"exit\":%d,\"guest_status\":",
		machine_cause_name(machine->end.cause), status);
	json_hex(file, machine->end.cause == CAUSE_EXIT ? machine->end.status : 0);
	fputs(",\"time_ns\":", file);
	json_hex(file, clock_now(&machine->clock));
	fprintf(file, ",\"exits\":%llu,\"accesses\":%llu,\"unanswered\":%llu,",
		(unsigned long long)machine_exits(machine),
		(unsigned long long)machine_accesses(machine),
		(unsigned long long)machine->bus.unclaimed);
	if (machine->end.cause == CAUSE_STOP && vm->stop.text) {
		fputs("\"point\":", file);
		json_text(file, vm->stop.text, strlen(vm->stop.text));
		fputc(',', file);
	}
	fputs("\"devices\":{", file);
	for (size_t i = 0; i < vm->devices.count; i++) {
		const struct device *device = devices_at(&vm->devices, i);

		fprintf(file, "%s\"%s\":{", i ? "," : "", device_name(device));
		vm_status_counts(file, device);
		fputc('}', file);
	}
	fputs("}}\n", file);
	bad = ferror(file);
	bad |= fclose(file) != 0;
	return bad ? fail(STATUS_IO, "the status in %s is not complete: %s", path,
			  limit_error(errno).text)
		   : 0;
}

/* Returns whether the file may be replaced: it is no regular file, empty, or an earlier status. */
static bool
holds_status(const char *path)
{
	static const char begin[] = "{\"cause\":";
	const struct file_id id = file_identify(path);
	char head[sizeof(begin) - 1];
	int fd;
	bool same;

	if (!id.exists || !id.regular || !id.size || file_descriptor(path) >= 0)
		return true;
	fd = file_open(path, FILE_READ);
	same = fd >= 0 && read(fd, head, sizeof(head)) == sizeof(head) &&
	       !memcmp(head, begin, sizeof(head));
	if (fd >= 0)
		close(fd);
	return same;
}

void
report_forget(const char *path)
{
	const struct file_id id = file_identify(path);
	int fd = id.regular && id.size && holds_status(path) ? file_open(path, FILE_TEXT) : -1;

	if (fd >= 0)
		close(fd);
}

int
report_refused(const char *path, int status)
{
	const char *error = fail_text();
	FILE *file;
	bool bad;

	if (!holds_status(path))
		return 0;
	file = file_open_report(path, NULL);
	if (!file)
		return 0; /* the error of the run counts */
	fprintf(file, "{\"cause\":\"refused\",\"exit\":%d,\"error\":", status);
	json_text(file, error, strlen(error));
	fputs("}\n", file);
	bad = ferror(file);
	bad |= fclose(file) != 0;
	return bad ? fail(STATUS_IO, "the status in %s is not complete: %s", path,
			  limit_error(errno).text)
		   : 0;
}
