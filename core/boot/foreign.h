/* SPDX-License-Identifier: BSD-2-Clause */
/* Explains files that other programs would load, and code that needs a BIOS. */
#ifndef BOOT_FOREIGN_H
#define BOOT_FOREIGN_H

#include "boot/boot.h"
#include "boot/boot_file.h"

/*
 * Refuses an image in a format of another program (base/magic.h). head: its first bytes. where: its
 * place in the config. Returns 0 or a negative status.
 */
int foreign_image(const struct boot_file *file, const char *where, const uint8_t *head,
		  size_t length);
/* Warns about an initrd or module that no kernel can use in its format. */
void foreign_module(const struct boot_file *file);
/* Returns whether an image has a multiboot2 header (multiboot2 specification, 3.1.1). */
bool foreign_is_multiboot2(const uint8_t *image, size_t length);
/*
 * Warns about a boot sector (0xaa55 at offset 510) that is to run in real mode at another address
 * than 0x7c00, or that calls a BIOS.
 */
void foreign_boot_sector(const struct boot_file *file, const struct boot_entry *entry,
			 const uint8_t *head, size_t length);

#endif
