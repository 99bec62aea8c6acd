/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a snapshot as an ELF core file, which gdb, crash and drgn open. Its form is that of QEMU's
 * dump-guest-memory:
 *
 *     ELF header     ET_CORE, EM_X86_64, 64 bits, for all guests
 *     PT_NOTE        NT_PRSTATUS and QEMU's CPU state for each vCPU; VMCOREINFO if the guest is
 * Linux PT_LOAD        one for each region of memory: p_paddr is its physical address; p_vaddr is
 * the same, with paging plus VMCORE_PHYSICAL, where no linear address is PT_LOAD        one for
 * each run of pages that a vCPU maps, with the same bytes of the file; p_vaddr is the linear
 * address memory         starts on a page boundary: the image of the snapshot, with holes for zero
 * pages
 */
#ifndef SNAPSHOT_VMCORE_H
#define SNAPSHOT_VMCORE_H

#include "snapshot/reader.h"

/* With paging, physical memory is at p_vaddr VMCORE_PHYSICAL plus its address. The address is not
 * canonical: no page table maps it. */
#define VMCORE_PHYSICAL 0x4000000000000000ull
#define VMCORE_SEGMENTS_MAX 0xfff0u /* e_phnum has 16 bits, and 0xffff is reserved */

/* Filled by the caller. */
struct vmcore_request {
	const char *path; /* of the file; with fd: a name for messages */
	/* -1, or a descriptor to which the file goes from its beginning to its end, with zeros for
	 * the holes. The caller keeps it. */
	int fd;
	/* Called now and then with bytes of memory; true cancels. NULL: none. */
	bool (*poll)(void *context, uint64_t done, uint64_t total);
	void *context;
};

struct vmcore_result {
	uint64_t size, data; /* of the file; bytes of memory that are not zero */
	uint32_t segments;   /* PT_LOADs */
	char release[65];    /* of the Linux kernel in VMCOREINFO, printable; "": none was found */
};

/*
 * Writes the file. The snapshot needs its parents. The checksums of the memory are not verified.
 * Returns 0 or a negative status, reported; then there is no file. Any thread.
 */
int vmcore_write(const struct snapshot *snapshot, const struct vmcore_request *request,
		 struct vmcore_result *result);
/* Opens a file that would replace a core file at path, and refuses what vmcore_write would refuse.
 * 0 or a negative status, reported; call file_replace_end in any case. */
struct file_replacement;
int vmcore_replace(struct file_replacement *file, const char *path);

/* Private to vmcore.c and vmcore_notes.c. */

/* The notes with the registers of all vCPUs, malloced. 0 or a negative status, reported. The caller
 * frees *notes in any case. */
int vmcore_notes(const struct snapshot *snapshot, uint8_t **notes, size_t *length);

#endif
