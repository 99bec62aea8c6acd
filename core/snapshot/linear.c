/* SPDX-License-Identifier: BSD-2-Clause */
/* Walks the page tables in a snapshot (AMD64 Architecture Programmer's Manual, volume 2, 5). */
#include "snapshot/linear.h"

#define PRESENT (1u << 0)
#define LARGE (1u << 7)
#define CR0_PE (1u << 0)
#define CR0_PG (1u << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define EFER_LMA (1u << 10)
#define RFLAGS_VM (1u << 17)

bool
snapshot_cpu(const struct snapshot *snapshot, uint32_t vcpu, struct snapshot_cpu *cpu)
{
	const struct record *section = snapshot_section(snapshot, SECTION_VCPU, vcpu);

	return section && record_find(section, "regs", &cpu->regs) &&
	       cpu->regs.type == RECORD_GROUP && record_find(section, "sregs", &cpu->sregs) &&
	       cpu->sregs.type == RECORD_GROUP && record_get_u64(&cpu->regs, "rip", &cpu->rip) &&
	       record_get_u64(&cpu->regs, "rflags", &cpu->rflags) &&
	       record_get_u64(&cpu->sregs, "cr0", &cpu->cr0) &&
	       record_get_u64(&cpu->sregs, "cr3", &cpu->cr3) &&
	       record_get_u64(&cpu->sregs, "cr4", &cpu->cr4) &&
	       record_get_u64(&cpu->sregs, "efer", &cpu->efer) &&
	       record_get_u64(&cpu->sregs, "cs.base", &cpu->cs_base) &&
	       record_get_u64(&cpu->sregs, "cs.l", &cpu->cs_l) &&
	       record_get_u64(&cpu->sregs, "cs.db", &cpu->cs_db);
}

static bool
long_mode(const struct snapshot_cpu *cpu)
{
	return cpu->efer & EFER_LMA;
}

uint64_t
snapshot_cpu_code(const struct snapshot_cpu *cpu)
{
	uint64_t linear = cpu->cs_base + cpu->rip;

	return long_mode(cpu) ? linear : (uint32_t)linear;
}

unsigned
snapshot_cpu_bits(const struct snapshot_cpu *cpu)
{
	if (long_mode(cpu) && cpu->cs_l)
		return 64;
	return cpu->cr0 & CR0_PE && !(cpu->rflags & RFLAGS_VM) && cpu->cs_db ? 32 : 16;
}

bool
snapshot_cpu_paging(const struct snapshot_cpu *cpu)
{
	return cpu->cr0 & CR0_PG;
}

/* Reads an entry of a page table, of width bytes. */
static int
read_entry(const struct snapshot *snapshot, gpa_t at, unsigned width, uint64_t *entry,
	   struct why *why)
{
	*entry = 0;
	if (snapshot_extent(snapshot, at) < width)
		return why_set(why, "a page table would be at 0x%llx, where there is no memory",
			       (unsigned long long)at);
	if (!snapshot_has(snapshot, at))
		return why_set(why, "the page table at 0x%llx is in a parent that is not open",
			       (unsigned long long)at);
	return snapshot_read(snapshot, at, entry, width) ? why_set(why, "cannot read it") : 0;
}

struct paging
paging_of(const struct snapshot_cpu *cpu)
{
	bool wide = long_mode(cpu), pae = wide || cpu->cr4 & CR4_PAE;

	return (struct paging){
		.root = cpu->cr3 & (wide  ? PAGING_FRAME
				    : pae ? 0xffffffe0
					  : 0xfffff000),
		.levels = wide  ? (cpu->cr4 & CR4_LA57 ? 5 : 4)
			  : pae ? 3
				: 2,
		.width = pae ? 8 : 4,
		.bits = pae ? 9 : 10,
		.wide = wide,
		.large = pae || cpu->cr4 & CR4_PSE,
	};
}

/* Without PAE, a large page has bits 32 to 39 in 13 to 20. */
gpa_t
paging_page(const struct paging *paging, uint64_t entry, unsigned shift)
{
	gpa_t page = entry & PAGING_FRAME & ~((1ull << shift) - 1);

	return paging->width == 4 && shift > 12 ? page | (entry >> 13 & 0xff) << 32 : page;
}

uint64_t
paging_linear(const struct paging *paging, uint64_t linear)
{
	unsigned unused = 64 - paging_shift(paging, paging->levels);

	return paging->wide ? (uint64_t)((int64_t)(linear << unused) >> unused) : linear;
}

static int
walk(const struct snapshot *snapshot, const struct snapshot_cpu *cpu, uint64_t linear, gpa_t *gpa,
     struct why *why)
{
	const struct paging paging = paging_of(cpu);
	unsigned level = paging.levels;
	gpa_t table = paging.root;

	while (level--) {
		unsigned shift = paging_shift(&paging, level);
		uint64_t entry, index = linear >> shift & ((1u << paging.bits) - 1);

		if (read_entry(snapshot, table + index * paging.width, paging.width, &entry, why))
			return -1;
		if (!(entry & PRESENT))
			return why_set(why, "the page tables do not map it");
		if (!level || (paging_large(&paging, level) && entry & LARGE)) {
			*gpa =
			    paging_page(&paging, entry, shift) | (linear & ((1ull << shift) - 1));
			return 0;
		}
		table = entry & PAGING_FRAME;
	}
	return -1;
}

int
snapshot_translate(const struct snapshot *snapshot, const struct snapshot_cpu *cpu, uint64_t linear,
		   gpa_t *gpa, struct why *why)
{
	if (!long_mode(cpu))
		linear = (uint32_t)linear;
	if (snapshot_cpu_paging(cpu))
		return walk(snapshot, cpu, linear, gpa, why);
	*gpa = linear;
	return 0;
}

size_t
snapshot_read_linear(const struct snapshot *snapshot, const struct snapshot_cpu *cpu,
		     uint64_t linear, void *to, size_t length, struct why *why)
{
	size_t done = 0, part;
	gpa_t gpa = 0;

	for (; done < length; done += part) {
		uint64_t extent;

		part = PAGE_SIZE - (linear + done) % PAGE_SIZE;
		part = part < length - done ? part : length - done;
		if (snapshot_translate(snapshot, cpu, linear + done, &gpa, why))
			break;
		extent = snapshot_extent(snapshot, gpa);
		if (extent < part) {
			why_set(why, "it is 0x%llx in physical memory, where there is none",
				(unsigned long long)gpa);
			break;
		}
		if (!snapshot_has(snapshot, gpa)) {
			why_set(why, "it is in a parent that is not open");
			break;
		}
		if (snapshot_read(snapshot, gpa, (uint8_t *)to + done, part)) {
			why_set(why, "it cannot be read");
			break;
		}
	}
	return done;
}
