/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes a snapshot as an ELF core file. */
#include "snapshot/vmcore.h"

#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "snapshot/mappings.h"
#include "snapshot/vmcore_file.h"
#include "snapshot/vmcoreinfo.h"

#define NOTE_MAX (VMCOREINFO_HEADER + VMCOREINFO_MAX + 4u) /* bytes of the note VMCOREINFO */
#define BLOCK (4 * SNAPSHOT_CHUNK) /* fits in the cache between reading and writing */

/* The file under construction. */
struct vmcore {
	const struct snapshot *snapshot;
	const struct vmcore_request *request;
	struct vmcore_result *result;
	struct vmcore_file file;
	uint64_t done;  /* bytes of memory, for progress */
	uint8_t *notes; /* of the vCPUs */
	size_t notes_size;
	bool paging;
	struct mappings mappings;
	uint64_t image; /* offset of the memory in the file */
	struct vmcoreinfo info;
};

/* --- Headers --- */

/* The vCPU whose page tables tell the linear addresses: one in the kernel, if there is one, because
 * the tables of programs may lack the kernel. False: none uses page tables. */
static bool
choose_vcpu(const struct snapshot *snapshot, struct snapshot_cpu *chosen)
{
	struct snapshot_cpu cpu;
	bool found = false;
	uint64_t selector;

	for (uint32_t i = 0; snapshot_cpu(snapshot, i, &cpu); i++) {
		bool kernel =
		    record_get_u64(&cpu.sregs, "cs.selector", &selector) && !(selector & 3);

		if (!snapshot_cpu_paging(&cpu) || (found && !kernel))
			continue;
		*chosen = cpu;
		found = true;
		if (kernel)
			break;
	}
	return found;
}

static int
find_mappings(struct vmcore *v)
{
	struct snapshot_cpu cpu;
	int failed;

	v->paging = choose_vcpu(v->snapshot, &cpu);
	if (!v->paging)
		return 0;
	failed = snapshot_mappings(
	    v->snapshot, &cpu, VMCORE_SEGMENTS_MAX - 1 - v->snapshot->region_count, &v->mappings);
	if (!failed && !v->mappings.whole)
		log_line(MINIVMM_WARNING, NULL,
			 "core %s: the page tables have too many mappings: linear addresses from "
			 "0x%llx on are missing",
			 v->request->path,
			 (unsigned long long)(v->mappings.count
						  ? v->mappings.list[v->mappings.count - 1].linear
						  : 0));
	return failed;
}

static size_t
segment_count(const struct vmcore *v)
{
	return v->snapshot->region_count + v->mappings.count;
}

/* The offset of the notes. Room for the longest VMCOREINFO is behind them. */
static uint64_t
notes_offset(const struct vmcore *v)
{
	return sizeof(Elf64_Ehdr) + (1 + segment_count(v)) * sizeof(Elf64_Phdr);
}

static uint64_t
align(uint64_t size, uint64_t to)
{
	return (size + to - 1) / to * to;
}

/* Writes the note VMCOREINFO to a buffer; returns its size. */
static size_t
info_note(const struct vmcore *v, uint8_t *to)
{
	Elf64_Nhdr header = { .n_namesz = sizeof(VMCOREINFO_NAME),
			      .n_descsz = (uint32_t)v->info.length };

	if (!v->info.length)
		return 0;
	memset(to, 0, VMCOREINFO_HEADER);
	memcpy(to, &header, sizeof(header));
	memcpy(to + sizeof(header), VMCOREINFO_NAME, sizeof(VMCOREINFO_NAME));
	memcpy(to + VMCOREINFO_HEADER, v->info.text, v->info.length + 1);
	return VMCOREINFO_HEADER + align(v->info.length, 4);
}

/* p_align is 0: crash takes the file for one of kdump. */
static Elf64_Phdr
load(const struct vmcore *v, uint64_t linear, gpa_t gpa, uint64_t size)
{
	Elf64_Phdr header = { .p_type = PT_LOAD,
			      .p_flags = PF_R | PF_W | PF_X,
			      .p_vaddr = linear,
			      .p_paddr = gpa,
			      .p_filesz = size,
			      .p_memsz = size };

	for (size_t i = 0; i < v->snapshot->region_count; i++) {
		const struct snapshot_region *region = snapshot_region(v->snapshot, i);

		if (gpa >= region->gpa && gpa - region->gpa < region->size)
			header.p_offset = v->image + region->offset + (gpa - region->gpa);
	}
	return header;
}

static void
fill_headers(const struct vmcore *v, Elf64_Ehdr *elf, size_t note_size)
{
	Elf64_Phdr *segment = (Elf64_Phdr *)(elf + 1);

	*elf = (Elf64_Ehdr){ .e_type = ET_CORE,
			     .e_machine = EM_X86_64,
			     .e_version = EV_CURRENT,
			     .e_phoff = sizeof(*elf),
			     .e_ehsize = sizeof(*elf),
			     .e_phentsize = sizeof(*segment),
			     .e_phnum = (Elf64_Half)(1 + segment_count(v)) };
	memcpy(elf->e_ident, VMCORE_BEGINS, sizeof(VMCORE_BEGINS) - 1);
	*segment++ = (Elf64_Phdr){ .p_type = PT_NOTE,
				   .p_offset = notes_offset(v),
				   .p_filesz = v->notes_size + note_size,
				   .p_memsz = v->notes_size + note_size };
	for (size_t i = 0; i < v->snapshot->region_count; i++) {
		const struct snapshot_region *region = snapshot_region(v->snapshot, i);

		*segment++ = load(v, region->gpa + (v->paging ? VMCORE_PHYSICAL : 0), region->gpa,
				  region->size);
	}
	for (size_t i = 0; i < v->mappings.count; i++) {
		const struct mapping *mapping = &v->mappings.list[i];

		*segment++ = load(v, mapping->linear, mapping->gpa, mapping->size);
	}
}

/* Writes all that is before the memory. */
static int
put_headers(struct vmcore *v)
{
	uint8_t *bytes = calloc(1, v->image);
	uint64_t at = notes_offset(v);
	int failed;

	if (!bytes)
		return fail_memory("writing core %s", v->request->path);
	memcpy(bytes + at, v->notes, v->notes_size);
	fill_headers(v, (Elf64_Ehdr *)bytes, info_note(v, bytes + at + v->notes_size));
	failed = vmcore_file_write(&v->file, bytes, v->image, 0);
	free(bytes);
	return failed;
}

/* --- Memory --- */

/* What is done with each block that may have data; bytes: of the memory at gpa. */
typedef int block_run(struct vmcore *v, const uint8_t *bytes, size_t length, gpa_t gpa,
		      uint64_t offset);

static int
search_block(struct vmcore *v, const uint8_t *bytes, size_t length, gpa_t gpa, uint64_t offset)
{
	for (size_t at = 0; at < length && !v->info.length; at += PAGE_SIZE)
		if (vmcoreinfo_begins(bytes + at))
			vmcoreinfo_take(&v->info, gpa + at, vmcoreinfo_read_snapshot, v->snapshot);
	return 0;
}

/* Writes each run of pages that are not zero. */
static int
write_block(struct vmcore *v, const uint8_t *bytes, size_t length, gpa_t gpa, uint64_t offset)
{
	size_t begin = 0, end = 0;
	int failed = 0;

	if (!v->file.stream)
		search_block(v, bytes, length, gpa, offset);
	for (; end < length && !failed; begin = end) {
		while (begin < length && snapshot_zero(bytes + begin, PAGE_SIZE))
			begin += PAGE_SIZE;
		end = begin;
		while (end < length && !snapshot_zero(bytes + end, PAGE_SIZE))
			end += PAGE_SIZE;
		if (end > begin)
			failed = vmcore_file_write(&v->file, bytes + begin, end - begin,
						   v->image + offset + begin);
		v->result->data += end - begin;
	}
	return failed;
}

static int
walk_region(struct vmcore *v, const struct snapshot_region *region, uint8_t *buffer, block_run *run)
{
	const uint64_t total = v->snapshot->header.memory_size;
	int failed = 0;

	for (uint64_t at = 0, size; at < region->size && !failed; at += size) {
		size = region->size - at < BLOCK ? region->size - at : BLOCK;
		v->done += size;
		if (snapshot_known_zero(v->snapshot, region->gpa + at, size))
			continue;
		if (v->request->poll && v->request->poll(v->request->context, v->done, total))
			return fail(STATUS_IO, "cannot write core %s: it was cancelled",
				    v->request->path);
		failed = snapshot_read(v->snapshot, region->gpa + at, buffer, size);
		if (!failed)
			failed = run(v, buffer, size, region->gpa + at, region->offset + at);
	}
	return failed;
}

static int
walk_memory(struct vmcore *v, block_run *run)
{
	uint8_t *buffer = malloc(BLOCK);
	int failed = 0;

	if (!buffer)
		return fail_memory("writing core %s", v->request->path);
	v->done = 0;
	for (size_t i = 0; i < v->snapshot->region_count && !failed; i++)
		failed = walk_region(v, snapshot_region(v->snapshot, i), buffer, run);
	free(buffer);
	return failed;
}

/* In a stream, VMCOREINFO must be known first; into a file, the headers are written last. */
static int
write_all(struct vmcore *v)
{
	const bool stream = v->file.stream;
	int failed = vmcore_file_size(&v->file, v->result->size);

	if (!failed && stream)
		failed = walk_memory(v, search_block);
	if (!failed && stream)
		failed = put_headers(v);
	if (!failed)
		failed = walk_memory(v, write_block);
	if (!failed && !stream)
		failed = put_headers(v);
	return failed ? failed : vmcore_file_commit(&v->file);
}

int
vmcore_write(const struct snapshot *snapshot, const struct vmcore_request *request,
	     struct vmcore_result *result)
{
	struct vmcore *v = calloc(1, sizeof(*v));
	int failed;

	if (!v)
		return fail_memory("writing core %s", request->path);
	*v = (struct vmcore){ .snapshot = snapshot, .request = request, .result = result };
	*result = (struct vmcore_result){ .size = 0 };
	failed = vmcore_file_open(&v->file, request->path, request->fd);
	if (!failed)
		failed = vmcore_notes(snapshot, &v->notes, &v->notes_size);
	if (!failed)
		failed = find_mappings(v);
	v->image = align(notes_offset(v) + v->notes_size + NOTE_MAX, PAGE_SIZE);
	result->size = v->image + snapshot->header.memory_size;
	result->segments = (uint32_t)segment_count(v);
	if (!failed)
		failed = write_all(v);
	vmcoreinfo_release(&v->info, result->release, sizeof(result->release));
	vmcore_file_close(&v->file);
	free(v->mappings.list);
	free(v->notes);
	free(v);
	return failed;
}
