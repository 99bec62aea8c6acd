/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux bzImages by the boot protocol (Documentation/arch/x86/boot.rst). Uses the 64-bit entry if
 * the kernel has one, otherwise the 32-bit entry. Memory layout:
 *
 *   0x6000 GDT | 0x7000 boot_params | 0x20000 command line | 0x9fc00 not RAM
 *   0x100000 kernel ... initrd | page tables
 */
#include <asm/bootparam.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "boot/boot.h"
#include "boot/boot_file.h"
#include "boot/kernel.h"
#include "machine/layout.h"

#define ENTRY_64 0x200u /* offset from the load address */

#define MAGIC 0x53726448u  /* HdrS */
#define VERSION_MIN 0x0206 /* the first with cmdline_size */
#define VERSION_RELOCATES 0x020a
#define VERSION_64 0x020c
#define LOADER_OTHER 0xff

/* Refuses the image with a message that begins with its name. */
#define refuse(file, text, ...) fail(STATUS_USAGE, "image %s: " text, (file)->name, ##__VA_ARGS__)

bool
boot_is_linux(const uint8_t *head, size_t length)
{
	uint16_t flag;
	uint32_t magic;

	if (length < offsetof(struct boot_params, hdr.version) + 2)
		return false;
	memcpy(&flag, head + offsetof(struct boot_params, hdr.boot_flag), sizeof(flag));
	memcpy(&magic, head + offsetof(struct boot_params, hdr.header), sizeof(magic));
	return flag == 0xaa55 && magic == MAGIC;
}

/* Reads the setup header as far as this kernel has one. The rest of params is zero. */
static int
read_header(const struct boot_file *file, struct boot_params *params)
{
	uint8_t head[sizeof(struct boot_params)] = { 0 };
	size_t length = file->length < sizeof(head) ? file->length : sizeof(head);
	const size_t start = offsetof(struct boot_params, hdr);
	size_t end;
	int r = boot_file_read(file, 0, head, length);

	if (r)
		return r;
	if (!boot_is_linux(head, length))
		return refuse(file, "it is not a Linux bzImage: it has no setup header");
	end = 0x202 + (size_t)head[0x201];
	if (end > start + sizeof(params->hdr))
		end = start + sizeof(params->hdr);
	memset(params, 0, sizeof(*params));
	memcpy(&params->hdr, head + start, end - start);
	if (params->hdr.version < VERSION_MIN)
		return refuse(file,
			      "its boot protocol %u.%02u is older than 2.06; use a newer kernel",
			      params->hdr.version >> 8, params->hdr.version & 0xff);
	/* Both fields of the 32-bit entry are older than VERSION_MIN and not 0 in any Linux. */
	if (!params->hdr.kernel_alignment && !params->hdr.init_size)
		return refuse(file,
			      "it has only a 16-bit entry, which calls a BIOS, and minivmm has "
			      "none; use a kernel with a 32-bit entry, PVH or multiboot");
	if (!(params->hdr.loadflags & LOADED_HIGH))
		return refuse(file, "it is a zImage, which loads below 1 MiB; build a bzImage");
	return 0;
}

static int
load_kernel(const struct boot_file *file, const struct boot_params *params, struct memory *memory,
	    struct boot_entry *entry)
{
	const struct setup_header *hdr = &params->hdr;
	uint64_t setup = ((hdr->setup_sects ? hdr->setup_sects : 4u) + 1u) * 512u;
	uint64_t needs = 0, runs_at = LAYOUT_HIGH;
	bool wide = hdr->version >= VERSION_64 && hdr->xloadflags & XLF_KERNEL_64;
	uint8_t *place;
	char text[160];

	if (file->length <= setup)
		return refuse(file, "the file is truncated: it ends with its setup code");
	/* Old kernels do not pad the last paragraph. */
	if (file->length + 15 < setup + hdr->syssize * 16ull)
		return refuse(
		    file,
		    "the file is truncated: it has %llu bytes, its header says %llu; copy "
		    "it again",
		    (unsigned long long)file->length,
		    (unsigned long long)(setup + hdr->syssize * 16ull));
	if (hdr->version >= VERSION_RELOCATES) {
		/*
		 * The kernel unpacks itself at its preferred address or, if that is lower, at its
		 * load address.
		 */
		runs_at = hdr->pref_address > LAYOUT_HIGH ? hdr->pref_address : LAYOUT_HIGH;
		needs = hdr->init_size;
	}
	if (needs < file->length - setup)
		needs = file->length - setup;
	place = memory_at(memory, LAYOUT_HIGH, file->length - setup);
	if (!place || !memory_at(memory, runs_at, needs))
		return refuse(file,
			      "the kernel needs memory at 0 and 0x%llx bytes at 0x%llx, but "
			      "memory is %s; set [vm] memory to %lluM or more and memory_at to 0",
			      (unsigned long long)needs, (unsigned long long)runs_at,
			      boot_memory_text(memory, text, sizeof(text)),
			      (unsigned long long)((runs_at + needs + (1u << 24)) >> 20));
	entry->entry = LAYOUT_HIGH + (wide ? ENTRY_64 : 0);
	entry->protocol = wide ? BOOT_LINUX64 : BOOT_LINUX32;
	entry->info = LAYOUT_BOOT_PARAMS;
	entry->end = runs_at + needs;
	memory_note(memory, "kernel", file->name, LAYOUT_HIGH, file->length - setup);
	memory_note(memory, "unpacked kernel", NULL, runs_at, needs);
	return boot_file_read(file, setup, place, file->length - setup);
}

static int
load_cmdline(const struct config *config, const struct boot_file *file, struct boot_params *params,
	     struct memory *memory)
{
	uint32_t limit = params->hdr.cmdline_size ? params->hdr.cmdline_size : 255;
	char *text;
	int r = kernel_cmdline(config, file->name, limit, &text);

	if (r)
		return r;
	params->hdr.cmd_line_ptr = LAYOUT_CMDLINE;
	if (memory_write(memory, LAYOUT_CMDLINE, text, strlen(text) + 1))
		r = refuse(file, "there is no guest memory at 0x%x for the command line",
			   LAYOUT_CMDLINE);
	memory_note(memory, "command line", NULL, LAYOUT_CMDLINE, strlen(text) + 1);
	free(text);
	return r;
}

/* Loads the initrd as high as the kernel accepts, below the initial page tables. */
static int
load_initrd(const struct config *config, const struct boot_file *kernel, struct boot_params *params,
	    struct memory *memory, struct boot_entry *entry)
{
	const struct memory_region *first = memory_region_at(memory, 0);
	uint64_t limit = first->gpa + first->size - boot_tables_size(memory);
	struct kernel_module initrd = { .path = config->boot.initrd };
	char where[256];
	int r, refused = 0;

	if (config->boot.modules)
		refused = fail(
		    STATUS_USAGE,
		    "%s: image %s: Linux accepts no modules but its initrd; remove [boot] modules",
		    config_boot_where(config, "modules", where, sizeof(where)), kernel->name);
	if (config->module_count)
		refused = fail(STATUS_USAGE,
			       "%s: image %s: Linux accepts no modules but its initrd; remove "
			       "[module %s]",
			       config_where(config->modules[0].place, where, sizeof(where)),
			       kernel->name, config->modules[0].name);
	if (!initrd.path)
		return refused;
	if (!(params->hdr.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) &&
	    limit > params->hdr.initrd_addr_max + 1ull)
		limit = params->hdr.initrd_addr_max + 1ull;
	r = kernel_module_load(config, &initrd, "initrd", kernel->name, memory, entry->end, &limit);
	if (r)
		return r;
	params->hdr.ramdisk_image = (uint32_t)initrd.at;
	params->ext_ramdisk_image = (uint32_t)(initrd.at >> 32);
	params->hdr.ramdisk_size = (uint32_t)initrd.size;
	params->ext_ramdisk_size = (uint32_t)(initrd.size >> 32);
	entry->end = initrd.at + initrd.size;
	return refused;
}

static void
memory_map(struct boot_params *params, const struct memory *memory)
{
	struct kernel_map map;

	kernel_map(memory, &map);
	params->e820_entries = (uint8_t)map.count;
	for (unsigned i = 0; i < map.count; i++)
		params->e820_table[i] = (struct boot_e820_entry){ .addr = map.rows[i].at,
								  .size = map.rows[i].size,
								  .type = map.rows[i].type };
}

int
boot_linux(const struct config *config, const struct boot_file *file, struct memory *memory,
	   struct boot_entry *entry)
{
	struct boot_params params = { 0 };
	int r = read_header(file, &params), more;

	if (!r)
		r = load_kernel(file, &params, memory, entry);
	if (r)
		return r;
	r = load_cmdline(config, file, &params, memory);
	more = load_initrd(config, file, &params, memory, entry);
	if (r || more)
		return r ? r : more;
	params.hdr.type_of_loader = LOADER_OTHER;
	params.hdr.vid_mode = 0xffff; /* normal */
	params.acpi_rsdp_addr = config->vm.irqchip ? LAYOUT_ACPI : 0;
	memory_map(&params, memory);
	memory_note(memory, "boot_params", NULL, LAYOUT_BOOT_PARAMS, sizeof(params));
	return memory_write(memory, LAYOUT_BOOT_PARAMS, &params, sizeof(params))
		   ? refuse(file, "there is no guest memory at 0x%x", LAYOUT_BOOT_PARAMS)
		   : 0;
}
