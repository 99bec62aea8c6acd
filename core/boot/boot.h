/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest images into memory, and the registers with which a vCPU starts. */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "config/config.h"
#include "machine/memory.h"

struct kvm_regs;
struct kvm_sregs;

/* How the image wants to be started. */
enum boot_protocol {
	BOOT_RAW,       /* as [cpu] says */
	BOOT_LINUX64,   /* long mode, rsi: boot_params */
	BOOT_LINUX32,   /* protected mode, esi: boot_params */
	BOOT_PVH,       /* protected mode, ebx: hvm_start_info */
	BOOT_MULTIBOOT, /* protected mode, eax: a magic number, ebx: multiboot_information */
};

/* What a loader found out. */
struct boot_entry {
	gpa_t
	    entry; /* the ELF file's own, else where the image was loaded; [cpu] rip goes over it */
	gpa_t end; /* of what was loaded: nothing of the image lies at or above it */
	enum boot_protocol protocol;
	gpa_t info; /* where what the protocol hands over is */
};

/*
 * Loads the config's image or code. FORMAT_AUTO: Linux by its setup header, PVH by its note,
 * multiboot by its header, ELF by its first bytes, else flat. Every length and offset of the image
 * is checked before it is used; nothing is written outside memory, and nothing at all of an ELF
 * file that is refused. Returns 0 or a negative status.
 */
int boot_load(const struct config *config, struct memory *memory, struct boot_entry *entry);

/*
 * An ELF file in memory: ELF32 for the 386 or ELF64 for x86-64, an executable linked to run where
 * it is loaded. Its PT_LOAD segments go to their physical addresses. name stands for it in
 * messages.
 */
int boot_elf(const char *name, const uint8_t *image, size_t length, struct memory *memory,
	     struct boot_entry *entry);

/* Linux's bzImage, with the config's initrd and command line. 0 or a negative status. */
struct boot_file;
int boot_linux(const struct config *config, const struct boot_file *file, struct memory *memory,
	       struct boot_entry *entry);
/* Do the first bytes of a file say that it is one? */
bool boot_is_linux(const uint8_t *head, size_t length);

/*
 * Registers of the first vCPU for the config's mode, then [cpu]'s own by their KVM names. sregs
 * comes in as a fresh vCPU has it.
 *
 *   real       16 bit, all segments at 0, cs.selector 0
 *   protected  32 bit, flat segments of 4 GiB; esp: the end of memory
 *   long       64 bit, memory and at least the first 4 GiB identity-mapped with pages that CPL 3
 *              may use, SSE on, a GDT (BOOT_KERNEL_CODE...), a TSS that lets CPL 3 use the ports
 *              below 0x7800; tables and GDT lie at the end of the first region, rsp below them
 *
 * Returns 0 or a negative status.
 */
int boot_registers(const struct config *config, const struct boot_entry *entry,
		   struct memory *memory, struct kvm_regs *regs, struct kvm_sregs *sregs);

/* What long mode's tables take at the end of the first region, in bytes. */
uint64_t boot_tables_size(const struct memory *memory);

/*
 * What can be said of a config that will not be booted: are its files there, are [cpu]'s registers
 * registers. Opens nothing. All mistakes are said; 0 or a negative status.
 */
int boot_check_image(const struct config *config);
int boot_check_registers(const struct config *config);

/*
 * Selectors: the kernel's in protected and long mode. The table itself is in memory in long mode
 * only, in the order that SYSCALL and SYSRET need (STAR = 0x0010000800000000).
 */
enum boot_selector {
	BOOT_KERNEL_CODE = 0x08,
	BOOT_KERNEL_DATA = 0x10,
	BOOT_USER_DATA = 0x18 | 3,
	BOOT_USER_CODE = 0x20 | 3,
	BOOT_TSS = 0x28,
};

/* "0x1000-0x4fff" for messages: what memory there is. In a buffer of the caller's. */
const char *boot_memory_text(const struct memory *memory, char *buffer, size_t size);

#endif
