/* SPDX-License-Identifier: BSD-2-Clause */
/* The initial registers of a vCPU, and the tables in memory that long mode needs. */
#include <linux/kvm.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "boot/boot.h"
#include "kvm/kvm.h"
#include "machine/layout.h"

#define GIB (1ull << 30)

/* Intel SDM volume 3, 2.5 and 4.5. */
enum {
	CR0_PE = 1u << 0,
	CR0_MP = 1u << 1,
	CR0_ET = 1u << 4,
	CR0_NE = 1u << 5,
	CR0_WP = 1u << 16,
	CR4_PAE = 1u << 5,
	CR4_OSFXSR = 1u << 9,
	CR4_OSXMMEXCPT = 1u << 10,
	EFER_LME = 1u << 8,
	EFER_LMA = 1u << 10,
	PTE_PRESENT = 1u << 0,
	PTE_WRITE = 1u << 1,
	PTE_USER = 1u << 2,
	PTE_LARGE = 1u << 7,
};
#define CR0_PG (1ull << 31)
#define PTE_TABLE (PTE_PRESENT | PTE_WRITE | PTE_USER)

/* Descriptors in memory: limit 4 GiB; the accessed bit is set so that the CPU need not write it. */
#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_CODE32 0x00cf9b000000ffffull
#define GDT_DATA 0x00cf93000000ffffull
#define LINUX_CODE 0x10u
#define LINUX_DATA 0x18u
#define GDT_DPL3 (3ull << 45)
#define MULTIBOOT_MAGIC 0x2badb002u

/* The page with GDT, TSS and I/O bitmap (SDM volume 3, 8.7; volume 1, 19.5.2). */
#define TSS_OFFSET 0x40u
#define TSS_LIMIT (PAGE_SIZE - TSS_OFFSET - 1)
#define TSS_BITMAP 104u         /* offset of the bitmap */
#define TSS_BITMAP_MEMBER 0x66u /* offset of the member that locates the bitmap */

static struct kvm_segment
segment(uint16_t selector, uint8_t type, bool code64)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = selector,
		.type = type,
		.present = 1,
		.dpl = selector & 3,
		.db = !code64,
		.s = 1,
		.l = code64,
		.g = 1,
	};
}

static void
set_segments(struct kvm_sregs *sregs, bool code64)
{
	sregs->cs = segment(BOOT_KERNEL_CODE, 0xb, code64); /* execute, read, accessed */
	sregs->ds = segment(BOOT_KERNEL_DATA, 0x3, false);  /* read, write, accessed */
	sregs->es = sregs->fs = sregs->gs = sregs->ss = sregs->ds;
}

static void
set_real(struct kvm_sregs *sregs)
{
	sregs->cs.base = 0;
	sregs->cs.selector = 0;
}

static void
set_protected(const struct memory *memory, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	const struct memory_region *first = memory_region_at(memory, 0);
	gpa_t top = first->gpa + first->size;

	set_segments(sregs, false);
	sregs->cr0 = CR0_PE | CR0_MP | CR0_ET | CR0_NE;
	regs->rsp = top <= UINT32_MAX ? top : 0;
}

/*
 * Writes the GDT, and a TSS whose I/O bitmap lets CPL 3 use the ports: an IOPL of 3 does not work
 * on all hosts.
 */
static void
set_tables(uint8_t *page, gpa_t at, struct kvm_sregs *sregs)
{
	uint64_t gdt[BOOT_TSS / 8 + 2] = {
		[BOOT_KERNEL_CODE / 8] = GDT_CODE64,
		[BOOT_KERNEL_DATA / 8] = GDT_DATA,
		[BOOT_USER_DATA / 8] = GDT_DATA | GDT_DPL3,
		[BOOT_USER_CODE / 8] = GDT_CODE64 | GDT_DPL3,
	};
	uint64_t tss = at + TSS_OFFSET;

	gdt[BOOT_TSS / 8] = TSS_LIMIT | (tss & 0xffffff) << 16 | 0x8bull << 40 |
			    (tss >> 24 & 0xff) << 56; /* present, 64 bit TSS, busy */
	gdt[BOOT_TSS / 8 + 1] = tss >> 32;
	memcpy(page, gdt, sizeof(gdt));
	page[TSS_OFFSET + TSS_BITMAP_MEMBER] = TSS_BITMAP;
	page[PAGE_SIZE - 1] = 0xff; /* terminates the bitmap */

	sregs->gdt.base = at;
	sregs->gdt.limit = sizeof(gdt) - 1;
	sregs->tr = (struct kvm_segment){
		.base = tss, .limit = TSS_LIMIT, .selector = BOOT_TSS, .type = 0xb, .present = 1
	};
}

/* The end of memory, rounded up to GiB; at least 4 GiB, to map the LAPIC and most MMIO devices. */
static uint64_t
mapped_end(const struct memory *memory)
{
	uint64_t end = 4 * GIB;

	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *region = memory_region_at(memory, i);
		uint64_t region_end = region->gpa + region->size;

		if (region_end > end)
			end = (region_end + GIB - 1) / GIB * GIB;
	}
	return end;
}

uint64_t
boot_tables_size(const struct memory *memory)
{
	return (mapped_end(memory) / GIB + 3) * PAGE_SIZE;
}

/*
 * The tables at the end of the first region, one page each:
 *   PML4 | PDPT | page directory of GiB 0 | ... of GiB n - 1 | GDT, TSS
 */
static int
set_long(const struct boot_entry *entry, struct memory *memory, struct kvm_regs *regs,
	 struct kvm_sregs *sregs)
{
	const struct memory_region *first = memory_region_at(memory, 0);
	uint64_t gibs = mapped_end(memory) / GIB, bytes = boot_tables_size(memory), *table;
	gpa_t end = first->gpa + first->size, at = end - bytes;
	gpa_t image_end = entry->end > first->gpa ? entry->end : first->gpa;

	if (gibs > 512)
		return fail(STATUS_USAGE,
			    "memory ends at %llu GiB, but long mode maps at most 512 GiB; "
			    "set [vm] memory or memory_at",
			    (unsigned long long)gibs);
	if (first->size < bytes || image_end > at)
		return fail(STATUS_USAGE,
			    "long mode needs 0x%llx bytes for page tables and GDT behind the "
			    "image, which ends at 0x%llx, but memory ends at 0x%llx; set [vm] "
			    "memory to 0x%llx or more",
			    (unsigned long long)bytes, (unsigned long long)image_end,
			    (unsigned long long)end,
			    (unsigned long long)(image_end - first->gpa + bytes + PAGE_SIZE - 1) &
				~(PAGE_SIZE - 1ull));
	table = memory_at(memory, at, bytes);
	memset(table, 0, bytes);
	table[0] = (at + PAGE_SIZE) | PTE_TABLE;
	for (uint64_t i = 0; i < gibs; i++)
		table[512 + i] = (at + (2 + i) * PAGE_SIZE) | PTE_TABLE;
	for (uint64_t i = 0; i < gibs * 512; i++)
		table[2 * 512 + i] = (i << 21) | PTE_TABLE | PTE_LARGE;
	set_tables((uint8_t *)table + bytes - PAGE_SIZE, end - PAGE_SIZE, sregs);

	memory_note(memory, "initial page tables, GDT, TSS", NULL, at, bytes);

	set_segments(sregs, true);
	sregs->cr3 = at;
	sregs->cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT;
	sregs->efer = EFER_LME | EFER_LMA;
	sregs->cr0 = CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE;
	regs->rsp = at;
	return 0;
}

/*
 * Both entries of Linux require flat segments with these selectors, also in the GDT, and
 * boot_params in rsi. The 32-bit entry requires 0 in the other registers.
 */
static int
set_linux(const struct boot_entry *entry, struct memory *memory, struct kvm_regs *regs,
	  struct kvm_sregs *sregs)
{
	bool wide = entry->protocol == BOOT_LINUX64;
	const uint64_t gdt[4] = {
		[LINUX_CODE / 8] = wide ? GDT_CODE64 : GDT_CODE32,
		[LINUX_DATA / 8] = GDT_DATA,
	};
	int status = 0;

	if (wide)
		status = set_long(entry, memory, regs, sregs);
	else
		set_protected(memory, regs, sregs);
	if (status || memory_write(memory, LAYOUT_LINUX_GDT, gdt, sizeof(gdt)))
		return status ? status : -STATUS_BUG;
	sregs->gdt.base = LAYOUT_LINUX_GDT;
	sregs->gdt.limit = sizeof(gdt) - 1;
	sregs->cs = segment(LINUX_CODE, 0xb, wide);
	sregs->ds = segment(LINUX_DATA, 0x3, false);
	sregs->es = sregs->fs = sregs->gs = sregs->ss = sregs->ds;
	regs->rsi = entry->info;
	regs->rsp = 0;
	return 0;
}

/*
 * The entries of PVH and multiboot agree: protected mode without paging, flat segments, and no
 * guaranteed tables. PVH also has a TSS in tr, without memory.
 */
static void
set_handover(const struct boot_entry *entry, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	set_segments(sregs, false);
	sregs->tr = (struct kvm_segment){
		.limit = TSS_BITMAP - 1, .selector = BOOT_TSS, .type = 0xb, .present = 1
	};
	sregs->cr0 = CR0_PE | CR0_ET;
	sregs->cr4 = 0;
	regs->rbx = entry->info;
	if (entry->protocol == BOOT_MULTIBOOT)
		regs->rax = MULTIBOOT_MAGIC;
}

/* Applies the registers of [cpu]. Prints every error. */
static int
set_own(const struct config *config, struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	const char *const *names = kvm_register_names();
	int status = 0;

	for (size_t i = 0; i < config->cpu.register_count; i++) {
		const struct config_register *r = &config->cpu.registers[i];
		char buffer[256];
		const char *where = config_where(r->place, buffer, sizeof(buffer));
		size_t known = 0;

		if (!kvm_register_set(regs, sregs, r->name, r->value))
			continue;
		while (names[known] && strcmp(names[known], r->name))
			known++;
		if (names[known])
			status = fail(STATUS_USAGE, "%s: [cpu] %s cannot hold 0x%llx", where,
				      r->name, (unsigned long long)r->value);
		else
			status = fail(STATUS_USAGE, "%s: [cpu] has no register %s%s", where,
				      r->name, did_you_mean(nearest(r->name, names), "").text);
	}
	return status;
}

int
boot_check_registers(const struct config *config)
{
	struct kvm_sregs sregs = { 0 };
	struct kvm_regs regs = { 0 };

	return set_own(config, &regs, &sregs);
}

int
boot_registers(const struct config *config, const struct boot_entry *entry, struct memory *memory,
	       struct kvm_regs *regs, struct kvm_sregs *sregs)
{
	int status = 0, own;

	memset(regs, 0, sizeof(*regs));
	regs->rip = entry->entry;
	regs->rflags = 2;
	if (entry->protocol == BOOT_LINUX64 || entry->protocol == BOOT_LINUX32)
		status = set_linux(entry, memory, regs, sregs);
	else if (entry->protocol == BOOT_PVH || entry->protocol == BOOT_MULTIBOOT)
		set_handover(entry, regs, sregs);
	else
		switch (entry->mode) {
		case MODE_REAL:
			set_real(sregs);
			break;
		case MODE_PROTECTED:
			set_protected(memory, regs, sregs);
			break;
		case MODE_LONG:
			status = set_long(entry, memory, regs, sregs);
			break;
		}
	own = set_own(config, regs, sregs);
	if (status || own)
		return status ? status : own;
	if (!(sregs->efer & EFER_LMA) && regs->rip > sregs->cs.limit)
		return fail(STATUS_USAGE,
			    "%s: the vCPU would start at 0x%llx, but the limit of code in %s mode "
			    "is 0x%x; set [boot] at or [cpu] mode",
			    config->file, (unsigned long long)regs->rip,
			    entry->mode == MODE_REAL ? "real" : "protected", sregs->cs.limit);
	return 0;
}
