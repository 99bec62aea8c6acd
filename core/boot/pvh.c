/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PVH direct boot (docs/misc/pvh in Xen): an ELF file has a note with its 32-bit entry, and finds
 * the structure below through ebx. Linux's vmlinux has the note.
 */
#include <string.h>

#include "base/log.h"
#include "boot/handover.h"
#include "machine/layout.h"

#define NOTE_OWNER "Xen"
#define NOTE_PHYS32_ENTRY 18
#define START_MAGIC 0x336ec578u /* "xEn3", bit 7 of the E set */
#define LINUX_CMDLINE 2047u     /* COMMAND_LINE_SIZE without the NUL */
#define START_VERSION 1u        /* the first with a memory map */

/* hvm_start_info; addresses of absent parts are 0. */
struct start_info {
	uint32_t magic, version, flags, module_count;
	uint64_t modules, cmdline, rsdp, map;
	uint32_t map_count, reserved;
};
_Static_assert(sizeof(struct start_info) == 56, "as the guest sees it");

/* hvm_modlist_entry */
struct start_module {
	uint64_t at, size, cmdline, reserved;
};

/* hvm_memmap_table_entry */
struct start_map {
	uint64_t at, size;
	uint32_t type, reserved;
};

int
boot_is_pvh(const struct program *program, bool *pvh)
{
	struct program_note note = { .owner = NOTE_OWNER, .type = NOTE_PHYS32_ENTRY };
	int r = program_note(program, &note);

	*pvh = note.found;
	return r;
}

/* The note contains the physical address, in 4 or 8 bytes. */
static int
take_entry(struct program *program)
{
	struct program_note note = { .owner = NOTE_OWNER, .type = NOTE_PHYS32_ENTRY };
	int r = program_note(program, &note);

	if (r)
		return r;
	if (!note.found)
		return program_refuse(program,
				      "it has no note (Xen, type %d) with the PVH entry; set "
				      "[boot] format = auto",
				      NOTE_PHYS32_ENTRY);
	if (note.size != 4 && note.size != 8)
		return program_refuse(program,
				      "its PVH note has %zu bytes, but an address has 4 or 8; set "
				      "[boot] format = elf to use the ELF entry",
				      note.size);
	memcpy(&program->entry, note.content, sizeof(program->entry));
	return 0;
}

static gpa_t
put_map(struct handover *handover)
{
	struct start_map rows[sizeof(handover->map.rows) / sizeof(handover->map.rows[0])];

	for (unsigned i = 0; i < handover->map.count; i++)
		rows[i] = (struct start_map){ .at = handover->map.rows[i].at,
					      .size = handover->map.rows[i].size,
					      .type = handover->map.rows[i].type };
	return handover_put(handover, rows, handover->map.count * sizeof(rows[0]));
}

static gpa_t
put_modules(struct handover *handover)
{
	struct start_module rows[KERNEL_MODULES];

	for (unsigned i = 0; i < handover->modules.count; i++)
		rows[i] = (struct start_module){ .at = handover->modules.list[i].at,
						 .size = handover->modules.list[i].size,
						 .cmdline = handover->names[i] };
	return handover_put(handover, rows, handover->modules.count * sizeof(rows[0]));
}

int
boot_pvh(const struct config *config, const struct boot_file *file, struct memory *memory,
	 struct boot_entry *entry)
{
	struct start_info info = { .magic = START_MAGIC, .version = START_VERSION };
	struct handover handover = { 0 };
	struct program program;
	int r = program_elf(&program, file);

	if (!r)
		r = take_entry(&program);
	if (!r)
		r = handover_begin(&handover, config, &program, memory, entry);
	if (!r && handover.cmdline_length > LINUX_CMDLINE)
		log_line(MINIVMM_WARNING, NULL,
			 "image %s: the command line has %zu bytes; a Linux kernel that starts by "
			 "PVH keeps only %u: shorten it, or use the bzImage",
			 file->name, handover.cmdline_length, LINUX_CMDLINE);
	if (!r) {
		info.cmdline = handover.cmdline;
		info.rsdp = config->vm.irqchip ? LAYOUT_ACPI : 0;
		info.module_count = handover.modules.count;
		info.modules = info.module_count ? put_modules(&handover) : 0;
		info.map_count = handover.map.count;
		info.map = put_map(&handover);
		entry->info = handover_put(&handover, &info, sizeof(info));
		entry->protocol = BOOT_PVH;
		r = entry->info ? 0 : -STATUS_BUG;
	}
	handover_free(&handover);
	return r;
}
