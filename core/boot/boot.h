/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest images into memory, and the registers with which a vCPU starts. */
#ifndef BOOT_BOOT_H
#define BOOT_BOOT_H

#include "config/config.h"
#include "machine/memory.h"

/* What a loader found out. */
struct boot_entry {
	bool known; /* entry is the image's own; else the config's rip, or where the image was
		       loaded */
	uint64_t entry;
};

/*
 * Loads the config's image or code. FORMAT_AUTO: ELF when it begins like one, else flat. Every
 * length and offset of the image is checked before it is used; nothing is written outside memory.
 * Returns 0 or a negative status.
 */
int boot_load(const struct config *config, struct memory *memory, struct boot_entry *entry);
int boot_elf(const char *name, const uint8_t *image, size_t length, struct memory *memory,
	     struct boot_entry *entry);

/*
 * Registers of the first vCPU for the config's mode: real (cs.base = cs.selector = 0), protected
 * (flat 32 bit), long (identity-mapped pages that CPL 3 may use, tables at the top of the first
 * region); then [cpu]'s own.
 */
struct kvm_regs;
struct kvm_sregs;
int boot_registers(const struct config *config, const struct boot_entry *entry,
		   struct memory *memory, struct kvm_regs *regs, struct kvm_sregs *sregs);

#endif
