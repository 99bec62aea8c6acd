/* SPDX-License-Identifier: BSD-2-Clause */
/* The notes of a core file that hold the registers of the vCPUs. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kvm/kvm_fields.h"
#include "snapshot/vmcore.h"

#define MSR_KERNEL_GS_BASE 0xc0000102u

/* Linux's struct elf_prstatus on x86-64 (include/linux/elfcore.h), of which debuggers use the pid
 * and the registers, which are in the order of struct user_regs_struct. */
struct prstatus {
	uint8_t unused[32];
	uint32_t pid;
	uint8_t times[76];
	uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax;
	uint64_t rip, cs, rflags, rsp, ss, fs_base, gs_base, ds, es, fs, gs;
	uint64_t fpvalid;
};

/* QEMU's QEMUCPUState, version 1 (target/i386/arch_dump.c). */
struct qemu_segment {
	uint32_t selector, limit, flags, unused;
	uint64_t base;
};

struct qemu_cpu {
	uint32_t version, size;
	uint64_t rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rip, rflags;
	struct qemu_segment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
	uint64_t cr[5];
	uint64_t kernel_gs_base;
};

_Static_assert(sizeof(struct prstatus) == 336 && sizeof(struct qemu_cpu) == 440, "the ABI's sizes");

/* A note with its name: both "CORE" and "QEMU" have 5 bytes, padded to 8. */
#define NOTE_HEAD (sizeof(Elf64_Nhdr) + 8u)

/* The registers of a vCPU. */
struct state {
	struct kvm_regs regs;
	struct kvm_sregs2 sregs;
	uint64_t kernel_gs_base;
};

/* The value of an MSR in the section of a vCPU, or 0. */
static uint64_t
msr(const struct record *section, uint32_t number)
{
	struct record group, index, value;

	if (!record_find(section, "msrs", &group) || group.type != RECORD_GROUP ||
	    !record_find(&group, "index", &index) || index.type != RECORD_U32 ||
	    !record_find(&group, "value", &value) || value.type != RECORD_U64 ||
	    index.count != value.count)
		return 0;
	for (uint32_t i = 0; i < index.count; i++)
		if (record_number(&index, i) == number)
			return record_number(&value, i);
	return 0;
}

static int
load(const struct snapshot *snapshot, uint32_t vcpu, struct state *to)
{
	const struct record *section = snapshot_section(snapshot, SECTION_VCPU, vcpu);
	struct record regs, sregs;
	struct why why;

	*to = (struct state){ .kernel_gs_base = 0 };
	if (!section || !record_find(section, "regs", &regs) || regs.type != RECORD_GROUP ||
	    !record_find(section, "sregs", &sregs) || sregs.type != RECORD_GROUP)
		return fail(STATUS_SNAPSHOT, "%s has no registers of vCPU %u", snapshot->path,
			    vcpu);
	if (fields_load(kvm_regs_fields, &to->regs, &regs, 0, &why) ||
	    fields_load(kvm_sregs2_fields, &to->sregs, &sregs, 0, &why))
		return fail(why_status(&why, STATUS_SNAPSHOT), "%s: the registers of vCPU %u: %s",
			    snapshot->path, vcpu, why.text);
	to->kernel_gs_base = msr(section, MSR_KERNEL_GS_BASE);
	return 0;
}

static struct prstatus
prstatus(const struct state *from, uint32_t vcpu)
{
	const struct kvm_regs *r = &from->regs;
	const struct kvm_sregs2 *s = &from->sregs;

	return (struct prstatus){
		.pid = vcpu + 1,        /* gdb: no process has the number 0 */
		.orig_rax = UINT64_MAX, /* in no system call */
		.rax = r->rax,
		.rbx = r->rbx,
		.rcx = r->rcx,
		.rdx = r->rdx,
		.rsi = r->rsi,
		.rdi = r->rdi,
		.rsp = r->rsp,
		.rbp = r->rbp,
		.r8 = r->r8,
		.r9 = r->r9,
		.r10 = r->r10,
		.r11 = r->r11,
		.r12 = r->r12,
		.r13 = r->r13,
		.r14 = r->r14,
		.r15 = r->r15,
		.rip = r->rip,
		.rflags = r->rflags,
		.cs = s->cs.selector,
		.ss = s->ss.selector,
		.ds = s->ds.selector,
		.es = s->es.selector,
		.fs = s->fs.selector,
		.gs = s->gs.selector,
		.fs_base = s->fs.base,
		.gs_base = s->gs.base,
	};
}

/* flags: the second word of its descriptor, without base and limit. */
static struct qemu_segment
segment(const struct kvm_segment *from)
{
	return (struct qemu_segment){
		.selector = from->selector,
		.limit = from->limit,
		.base = from->base,
		.flags = (uint32_t)from->type << 8 | (uint32_t)from->s << 12 |
			 (uint32_t)from->dpl << 13 | (uint32_t)from->present << 15 |
			 (uint32_t)from->avl << 20 | (uint32_t)from->l << 21 |
			 (uint32_t)from->db << 22 | (uint32_t)from->g << 23,
	};
}

static struct qemu_cpu
qemu_cpu(const struct state *from)
{
	const struct kvm_regs *r = &from->regs;
	const struct kvm_sregs2 *s = &from->sregs;

	return (struct qemu_cpu){
		.version = 1,
		.size = sizeof(struct qemu_cpu),
		.rax = r->rax,
		.rbx = r->rbx,
		.rcx = r->rcx,
		.rdx = r->rdx,
		.rsi = r->rsi,
		.rdi = r->rdi,
		.rsp = r->rsp,
		.rbp = r->rbp,
		.r8 = r->r8,
		.r9 = r->r9,
		.r10 = r->r10,
		.r11 = r->r11,
		.r12 = r->r12,
		.r13 = r->r13,
		.r14 = r->r14,
		.r15 = r->r15,
		.rip = r->rip,
		.rflags = r->rflags,
		.cs = segment(&s->cs),
		.ds = segment(&s->ds),
		.es = segment(&s->es),
		.fs = segment(&s->fs),
		.gs = segment(&s->gs),
		.ss = segment(&s->ss),
		.ldt = segment(&s->ldt),
		.tr = segment(&s->tr),
		.gdt = { .base = s->gdt.base, .limit = s->gdt.limit },
		.idt = { .base = s->idt.base, .limit = s->idt.limit },
		.cr = { s->cr0, 0, s->cr2, s->cr3, s->cr4 },
		.kernel_gs_base = from->kernel_gs_base,
	};
}

/* Writes a note; returns its end. name: 4 letters. */
static uint8_t *
put(uint8_t *at, const char *name, uint32_t type, const void *content, size_t size)
{
	Elf64_Nhdr header = { .n_namesz = 5, .n_descsz = (uint32_t)size, .n_type = type };

	memset(at, 0, NOTE_HEAD);
	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), name, 4);
	memcpy(at + NOTE_HEAD, content, size);
	return at + NOTE_HEAD + size;
}

int
vmcore_notes(const struct snapshot *snapshot, uint8_t **notes, size_t *length)
{
	const size_t first = NOTE_HEAD + sizeof(struct prstatus);
	const size_t second = NOTE_HEAD + sizeof(struct qemu_cpu);
	const uint32_t count = snapshot_section_count(snapshot, SECTION_VCPU);
	int failed = 0;

	*length = count * (first + second);
	*notes = malloc(*length + 1);
	if (!*notes)
		return fail_memory("reading the registers of %s", snapshot->path);
	for (uint32_t i = 0; i < count && !failed; i++) {
		struct state state;
		struct prstatus status;
		struct qemu_cpu qemu;

		failed = load(snapshot, i, &state);
		status = prstatus(&state, i);
		qemu = qemu_cpu(&state);
		put(*notes + i * first, "CORE", NT_PRSTATUS, &status, sizeof(status));
		put(*notes + count * first + i * second, "QEMU", 0, &qemu, sizeof(qemu));
	}
	return failed;
}
