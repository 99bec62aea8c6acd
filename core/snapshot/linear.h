/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory of a snapshot as a vCPU addresses it: through its page tables. Registers and tables
 * are untrusted; a walk reads at most five entries.
 */
#ifndef SNAPSHOT_LINEAR_H
#define SNAPSHOT_LINEAR_H

#include "snapshot/reader.h"

/* The registers that decide where the addresses of a vCPU are in memory, and how it decodes code.
 */
struct snapshot_cpu {
	uint64_t rip, rflags, cr0, cr3, cr4, efer;
	uint64_t cs_base, cs_l, cs_db; /* cs_l, cs_db: 0 or 1 */
	struct record regs, sregs;     /* all of them */
};

/* Reads them from the section of a vCPU. False: there is no such vCPU, or one is missing. */
bool snapshot_cpu(const struct snapshot *snapshot, uint32_t vcpu, struct snapshot_cpu *cpu);
/* The linear address of the next instruction. */
uint64_t snapshot_cpu_code(const struct snapshot_cpu *cpu);
/* How the vCPU decodes instructions: 16, 32 or 64 bits. */
unsigned snapshot_cpu_bits(const struct snapshot_cpu *cpu);

/* Does it use page tables? */
bool snapshot_cpu_paging(const struct snapshot_cpu *cpu);

/* The form of its page tables. Plain data; for walks. */
struct paging {
	gpa_t root;
	unsigned levels;      /* of tables: 2 to 5 */
	unsigned width, bits; /* of an entry, in bytes; a table has 2^bits entries */
	bool wide;            /* long mode */
	bool large;           /* large pages are on */
};
#define PAGING_FRAME 0x000ffffffffff000ull /* the address in an entry */

/* For a vCPU that uses page tables. */
struct paging paging_of(const struct snapshot_cpu *cpu);
/* An entry of level maps 2^shift bytes; those of level 0 are pages. */
static inline unsigned
paging_shift(const struct paging *paging, unsigned level)
{
	return 12 + paging->bits * level;
}
/* Can entries of this level map large pages? */
static inline bool
paging_large(const struct paging *paging, unsigned level)
{
	return level && level <= (paging->wide ? 2 : 1) && paging->large;
}
/* The number of entries in a table of this level. */
static inline uint32_t
paging_entries(const struct paging *paging, unsigned level)
{
	return !paging->wide && level == 2 ? 4 : 1u << paging->bits;
}
/* The address of the page of 2^shift bytes that an entry maps. */
gpa_t paging_page(const struct paging *paging, uint64_t entry, unsigned shift);
/* A linear address with its upper bits, which repeat the highest bit that is translated. */
uint64_t paging_linear(const struct paging *paging, uint64_t linear);

/* Translates a linear address. Returns 0, or -1 with the reason in why. */
int snapshot_translate(const struct snapshot *snapshot, const struct snapshot_cpu *cpu,
		       uint64_t linear, gpa_t *gpa, struct why *why);
/*
 * Reads memory at a linear address. Returns the number of bytes before the first that cannot be
 * read; if that is less than length, the reason is in why.
 */
size_t snapshot_read_linear(const struct snapshot *snapshot, const struct snapshot_cpu *cpu,
			    uint64_t linear, void *to, size_t length, struct why *why);

#endif
