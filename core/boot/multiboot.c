/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Multiboot Specification, version 0.6.96 (Multiboot 1). A header in the first 8192 bytes of
 * the file contains the requirements of the kernel and, unless the file is ELF, its load addresses.
 * The kernel finds the structure below through ebx.
 */
#include <elf.h>
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "base/version.h"
#include "boot/handover.h"
#include "machine/layout.h"

#define SEARCHED 8192u
#define HEADER_MAGIC 0x1badb002u
#define HEADER_ALIGN (1u << 0)  /* modules at page boundaries: always met */
#define HEADER_MEMORY (1u << 1) /* a memory map: always passed */
#define HEADER_VIDEO (1u << 2)  /* a video mode */
#define HEADER_MUST 0xffffu     /* refuse the image if one of these is not supported */
#define HEADER_ADDRESSES (1u << 16)

/* The members from header_addr on exist with HEADER_ADDRESSES only. */
struct multiboot_header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};
#define HEADER_SHORT offsetof(struct multiboot_header, header_addr)

#define INFO_MEMORY (1u << 0)
#define INFO_CMDLINE (1u << 2)
#define INFO_MODULES (1u << 3)
#define INFO_MAP (1u << 6)
#define INFO_LOADER (1u << 9)

/* multiboot_information. flags tells which members are valid; the others are zero. */
struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
	uint32_t apm_table, video[12];
};
_Static_assert(sizeof(struct multiboot_info) == 120, "as the guest sees it");

struct multiboot_module {
	uint32_t start, end, string, reserved;
};

struct multiboot_row {
	uint32_t size; /* of the following members */
	uint64_t at, length;
	uint32_t type;
} __attribute__((packed));

/* Finds the header. Missing members are 0. */
static bool
find_header(const uint8_t *head, size_t length, struct multiboot_header *header, size_t *offset)
{
	if (length > SEARCHED)
		length = SEARCHED;
	for (size_t at = 0; at + HEADER_SHORT <= length; at += 4) {
		size_t size = HEADER_SHORT;

		*header = (struct multiboot_header){ 0 };
		memcpy(header, head + at, HEADER_SHORT);
		if (header->magic != HEADER_MAGIC ||
		    header->magic + header->flags + header->checksum != 0)
			continue;
		if (header->flags & HEADER_ADDRESSES)
			size = sizeof(*header);
		if (size > length - at)
			continue;
		memcpy(header, head + at, size);
		*offset = at;
		return true;
	}
	return false;
}

bool
boot_is_multiboot(const uint8_t *head, size_t length)
{
	struct multiboot_header header;
	size_t offset;

	return find_header(head, length, &header, &offset);
}

static int
check_flags(const struct program *program, uint32_t flags)
{
	uint32_t unmet = flags & HEADER_MUST & ~(HEADER_ALIGN | HEADER_MEMORY);

	if (!unmet)
		return 0;
	if (unmet == HEADER_VIDEO)
		return program_refuse(program,
				      "its multiboot header requires a video mode (bit 2 of its "
				      "flags), but the machine has no display; build the kernel "
				      "without that flag");
	return program_refuse(program,
			      "its multiboot header requires the unsupported flags 0x%x (0x3 are "
			      "supported); build the kernel without them",
			      unmet);
}

/* Converts the header's addresses to a segment. */
static int
take_addresses(struct program *program, const struct multiboot_header *h, size_t offset)
{
	struct program_segment *s = &program->segments[0];
	uint64_t before = (uint64_t)h->header_addr - h->load_addr;

	if (h->load_addr > h->header_addr || before > offset)
		return program_refuse(program,
				      "its multiboot header, at offset 0x%zx of the file, has "
				      "header_addr 0x%x and load_addr 0x%x, which is not in the "
				      "file",
				      offset, h->header_addr, h->load_addr);
	if ((h->load_end_addr && h->load_end_addr < h->load_addr) ||
	    (h->bss_end_addr &&
	     (h->bss_end_addr < h->load_addr || h->bss_end_addr < h->load_end_addr)))
		return program_refuse(program,
				      "its multiboot header has load_addr 0x%x, load_end_addr 0x%x "
				      "and bss_end_addr 0x%x, which are not in ascending order",
				      h->load_addr, h->load_end_addr, h->bss_end_addr);
	*s = (struct program_segment){ .type = PT_LOAD,
				       .offset = offset - before,
				       .vaddr = h->load_addr,
				       .paddr = h->load_addr };
	s->filesz =
	    h->load_end_addr ? h->load_end_addr - h->load_addr : program->length - s->offset;
	s->memsz = h->bss_end_addr ? h->bss_end_addr - h->load_addr : s->filesz;
	program->count = 1;
	program->entry = h->entry_addr;
	return 0;
}

static int
read_program(struct program *program, const struct boot_file *file, const uint8_t *head,
	     size_t length)
{
	struct multiboot_header header;
	size_t offset;
	int r;

	*program = program_of(file);
	if (!find_header(head, length, &header, &offset))
		return program_refuse(program,
				      "it has no multiboot header in its first %u bytes; set "
				      "[boot] format = auto",
				      SEARCHED);
	r = check_flags(program, header.flags);
	if (r)
		return r;
	if (header.flags & HEADER_ADDRESSES)
		return take_addresses(program, &header, offset);
	if (length < SELFMAG || memcmp(head, ELFMAG, SELFMAG))
		return program_refuse(program,
				      "it is not an ELF file, and its multiboot header has no "
				      "addresses (bit 16 of its flags); set [boot] format = flat");
	return program_elf(program, file);
}

static gpa_t
put_map(struct handover *handover, uint32_t *size)
{
	struct multiboot_row rows[sizeof(handover->map.rows) / sizeof(handover->map.rows[0])];

	for (unsigned i = 0; i < handover->map.count; i++)
		rows[i] = (struct multiboot_row){ .size = sizeof(rows[i]) - sizeof(rows[i].size),
						  .at = handover->map.rows[i].at,
						  .length = handover->map.rows[i].size,
						  .type = handover->map.rows[i].type };
	*size = (uint32_t)(handover->map.count * sizeof(rows[0]));
	return handover_put(handover, rows, *size);
}

static gpa_t
put_modules(struct handover *handover)
{
	struct multiboot_module rows[KERNEL_MODULES];

	for (unsigned i = 0; i < handover->modules.count; i++) {
		const struct kernel_module *module = &handover->modules.list[i];

		rows[i] = (struct multiboot_module){ .start = (uint32_t)module->at,
						     .end = (uint32_t)(module->at + module->size),
						     .string = (uint32_t)handover->names[i] };
	}
	return handover_put(handover, rows, handover->modules.count * sizeof(rows[0]));
}

/*
 * Kernels for PCs read the end of low RAM, and the segment that begins there, from two words of the
 * BIOS data area. They are written unless the program overlaps them.
 */
static int
put_bios_data(const struct handover *handover, const struct program *program, uint32_t mem_lower)
{
	const uint16_t extended = LAYOUT_LOW_END >> 4, kib = LAYOUT_LOW_END >> 10;

	if (mem_lower != kib || program_overlaps(program, LAYOUT_BIOS_DATA, LAYOUT_BIOS_DATA_SIZE))
		return 0;
	return memory_write(handover->memory, LAYOUT_BIOS_DATA + 0x0e, &extended,
			    sizeof(extended)) ||
		       memory_write(handover->memory, LAYOUT_BIOS_DATA + 0x13, &kib, sizeof(kib))
		   ? -STATUS_BUG
		   : 0;
}

/* KiB of contiguous RAM from 0 and from 1 MiB. */
static void
put_sizes(const struct kernel_map *map, struct multiboot_info *info)
{
	for (unsigned i = 0; i < map->count; i++) {
		if (map->rows[i].type == KERNEL_RAM && map->rows[i].at == 0)
			info->mem_lower = (uint32_t)(map->rows[i].size >> 10);
		if (map->rows[i].type == KERNEL_RAM && map->rows[i].at == LAYOUT_HIGH)
			info->mem_upper = (uint32_t)(map->rows[i].size >> 10);
	}
}

int
boot_multiboot(const struct config *config, const struct boot_file *file, const uint8_t *head,
	       size_t length, struct memory *memory, struct boot_entry *entry)
{
	struct multiboot_info info = { .flags = INFO_MEMORY | INFO_CMDLINE | INFO_MODULES |
						INFO_MAP | INFO_LOADER };
	static const char loader[] = "minivmm " MINIVMM_VERSION;
	/* As GRUB has it. */
	struct handover handover = { .names_first = true };
	struct program program;
	int r = read_program(&program, file, head, length);

	if (!r)
		r = handover_begin(&handover, config, &program, memory, entry);
	if (!r) {
		info.cmdline = (uint32_t)handover.cmdline;
		info.boot_loader_name = (uint32_t)handover_put(&handover, loader, sizeof(loader));
		info.mods_count = handover.modules.count;
		info.mods_addr = info.mods_count ? (uint32_t)put_modules(&handover) : 0;
		info.mmap_addr = (uint32_t)put_map(&handover, &info.mmap_length);
		put_sizes(&handover.map, &info);
		entry->info = handover_put(&handover, &info, sizeof(info));
		entry->protocol = BOOT_MULTIBOOT;
		r = entry->info ? put_bios_data(&handover, &program, info.mem_lower) : -STATUS_BUG;
	}
	handover_free(&handover);
	return r;
}
