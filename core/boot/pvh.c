/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PVH's direct boot (Xen's docs/misc/pvh): an ELF file with a note that names its 32-bit entry,
 * which finds the structure below by ebx. Linux's vmlinux has one.
 */
#include <string.h>

#include "base/log.h"
#include "boot/handover.h"
#include "machine/layout.h"

#define NOTE_OWNER "Xen"
#define NOTE_PHYS32_ENTRY 18
#define START_MAGIC 0x336ec578u /* "xEn3", bit 7 of the E set */
#define START_VERSION 1u        /* the first with a map of memory */

/* hvm_start_info; addresses of what there is not are 0. */
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

bool
boot_is_pvh(const struct program *program)
{
	size_t size;

	return program_note(program, NOTE_OWNER, NOTE_PHYS32_ENTRY, &size) != NULL;
}

/* The note holds the physical address, in as many bytes as the kernel's own addresses have. */
static int
take_entry(struct program *program)
{
	size_t size;
	const uint8_t *note = program_note(program, NOTE_OWNER, NOTE_PHYS32_ENTRY, &size);

	if (!note)
		return program_refuse(program,
				      "it has no note (Xen, type %d) that says where PVH "
				      "starts it: set [boot] format = auto",
				      NOTE_PHYS32_ENTRY);
	if (size != 4 && size != 8)
		return program_refuse(
		    program,
		    "its note for PVH holds %zu bytes; an address of 4 or 8 is "
		    "needed: set [boot] format = elf to start it at its own entry",
		    size);
	program->entry = 0;
	memcpy(&program->entry, note, size);
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
boot_pvh(const struct config *config, const char *name, const uint8_t *image, size_t length,
	 struct memory *memory, struct boot_entry *entry)
{
	struct start_info info = { .magic = START_MAGIC, .version = START_VERSION };
	struct handover handover = { 0 };
	struct program program;
	int r = program_elf(&program, name, image, length);

	if (!r)
		r = take_entry(&program);
	if (!r)
		r = handover_begin(&handover, config, &program, memory, entry);
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
