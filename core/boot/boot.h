/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads guest images and sets the initial registers of a vCPU. */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "config/config.h"
#include "machine/memory.h"

struct kvm_regs;
struct kvm_sregs;

/* How the image is started. */
enum boot_protocol {
	BOOT_RAW,       /* in the mode of [cpu], or of the ELF class */
	BOOT_LINUX64,   /* long mode, rsi: boot_params */
	BOOT_LINUX32,   /* protected mode, esi: boot_params */
	BOOT_PVH,       /* protected mode, ebx: hvm_start_info */
	BOOT_MULTIBOOT, /* protected mode, eax: magic number, ebx: multiboot_information */
};

/* The result of a loader. */
struct boot_entry {
	gpa_t entry; /* the ELF entry, or the load address; [cpu] rip overrides it */
	gpa_t end;   /* end of the loaded image */
	enum boot_protocol protocol;
	enum config_mode mode; /* BOOT_RAW: the mode of the CPU */
	gpa_t info;            /* address of the protocol's structure */
};

/*
 * Loads the config's image or code. FORMAT_AUTO recognises Linux by its setup header, PVH by its
 * note, multiboot by its header and ELF by its magic number; it refuses formats of other programs
 * (base/magic.h); other files are flat. Checks every length and offset of the image before use.
 * Writes only to guest memory, and nothing if an ELF file is refused. Returns 0 or a negative
 * status.
 */
int boot_load(const struct config *config, struct memory *memory, struct boot_entry *entry);

struct boot_file;
/*
 * Loads an ELF file: a static executable, ELF32 for the 386 or ELF64 for x86-64. Reads its headers
 * and its PT_LOAD segments, these to their physical addresses. 0 or a negative status.
 */
int boot_elf(const struct config *config, const struct boot_file *file, struct memory *memory,
	     struct boot_entry *entry);

/* Loads a Linux bzImage with the config's initrd and command line. 0 or a negative status. */
int boot_linux(const struct config *config, const struct boot_file *file, struct memory *memory,
	       struct boot_entry *entry);
/* Returns whether a file that begins with these bytes is a kernel or an ELF file, not flat code. */
bool boot_is_kernel(const uint8_t *head, size_t length);
/* Returns whether a file that begins with these bytes is a bzImage. */
bool boot_is_linux(const uint8_t *head, size_t length);

/*
 * Sets the initial registers of the first vCPU for the mode of the entry, then those of [cpu] by
 * their KVM names. On entry, sregs contains the values of a fresh vCPU.
 *
 *   real       16 bit, all segments at 0, cs.selector 0
 *   protected  32 bit, flat segments of 4 GiB; esp: the end of memory
 *   long       64 bit. Memory and at least the first 4 GiB are identity-mapped and accessible at
 *              CPL 3. SSE is enabled. There are a GDT (BOOT_KERNEL_CODE...) and a TSS that lets CPL
 *              3
 *              use the ports below 0x7800. The tables and the GDT are at the end of the first
 *              region,
 *              rsp is below them.
 *
 * Returns 0 or a negative status.
 */
int boot_registers(const struct config *config, const struct boot_entry *entry,
		   struct memory *memory, struct kvm_regs *regs, struct kvm_sregs *sregs);

/* Bytes of the tables for long mode, at the end of the first region. */
uint64_t boot_tables_size(const struct memory *memory);

/*
 * Check a config without booting it: boot_check_image checks that the files exist and are readable,
 * boot_check_registers checks the registers of [cpu]. They open no files. They print every error
 * and return 0 or a negative status.
 */
int boot_check_image(const struct config *config);
int boot_check_registers(const struct config *config);

/*
 * Selectors of kernel and user code in protected and long mode. Only long mode has the table in
 * memory. SYSCALL and SYSRET require this order (STAR = 0x0010000800000000).
 */
enum boot_selector {
	BOOT_KERNEL_CODE = 0x08,
	BOOT_KERNEL_DATA = 0x10,
	BOOT_USER_DATA = 0x18 | 3,
	BOOT_USER_CODE = 0x20 | 3,
	BOOT_TSS = 0x28,
};

/* Formats the memory regions as "0x1000-0x4fff" for messages. Returns buffer. */
const char *boot_memory_text(const struct memory *memory, char *buffer, size_t size);

#endif
