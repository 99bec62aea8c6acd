/* SPDX-License-Identifier: BSD-2-Clause */
/* Explains files that other programs would load, and code that needs a BIOS. */
#include "boot/foreign.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/magic.h"

#define SECTOR 512u
#define SECTOR_AT 0x7c00u /* where a BIOS loads the first sector of a disk */
#define INT 0xcdu
#define MULTIBOOT2_MAGIC 0xe85250d6u
#define MULTIBOOT2_SEARCHED 32768u
#define BIOS_FIRST 0x10u /* int 0x10, video, to int 0x1a, clock */
#define BIOS_LAST 0x1au

int
foreign_image(const struct boot_file *file, const char *where, const uint8_t *head, size_t length)
{
	const struct magic *m = magic_find(MAGIC_KERNEL, head, length);

	return m ? fail(
		       STATUS_USAGE,
		       "%s: image %s is %s: %s; to run its bytes as code, set [boot] format = flat",
		       where, file->name, m->name, m->remedy)
		 : 0;
}

void
foreign_module(const struct boot_file *file)
{
	uint8_t head[1024]; /* as far as the magic numbers that are wrong for a module */
	ssize_t n = pread(file->fd, head, sizeof(head), 0);
	const struct magic *m = magic_find(MAGIC_INITRD, head, n > 0 ? (size_t)n : 0);

	if (m)
		log_line(MINIVMM_WARNING, NULL, "the %s %s is %s, which the kernel cannot use: %s",
			 file->what, file->name, m->name, m->remedy);
}

bool
foreign_is_multiboot2(const uint8_t *image, size_t length)
{
	uint32_t words[4]; /* magic, architecture, length, checksum: their sum is 0 */

	if (length > MULTIBOOT2_SEARCHED)
		length = MULTIBOOT2_SEARCHED;
	for (size_t at = 0; at + sizeof(words) <= length; at += 8) {
		memcpy(words, image + at, sizeof(words));
		if (words[0] == MULTIBOOT2_MAGIC && !(words[0] + words[1] + words[2] + words[3]))
			return true;
	}
	return false;
}

/* The offset of the first int instruction that calls a BIOS, or SECTOR. */
static size_t
bios_call(const uint8_t *sector)
{
	size_t i = 0;

	while (i + 1 < SECTOR - 2 &&
	       !(sector[i] == INT && sector[i + 1] >= BIOS_FIRST && sector[i + 1] <= BIOS_LAST))
		i++;
	return i + 1 < SECTOR - 2 ? i : SECTOR;
}

void
foreign_boot_sector(const struct boot_file *file, const struct boot_entry *entry,
		    const uint8_t *head, size_t length)
{
	bool elsewhere = entry->entry != SECTOR_AT;
	char calls[64] = "";
	size_t call;

	if (entry->mode != MODE_REAL || length < SECTOR || head[510] != 0x55 || head[511] != 0xaa)
		return;
	call = bios_call(head);
	if (call < SECTOR)
		snprintf(calls, sizeof(calls), ", but it calls one: int 0x%x at offset 0x%zx",
			 head[call + 1], call);
	if (!elsewhere && call == SECTOR)
		return;
	log_line(MINIVMM_WARNING, NULL, "image %s is a boot sector: minivmm has no BIOS%s; %s",
		 file->name, calls,
		 elsewhere ? "such code expects [boot] at = 0x7c00"
			   : "boot the system's kernel with [boot] image instead");
}
