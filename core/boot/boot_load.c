/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads the image file of [boot] in any format, or the code in the config. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/magic.h"
#include "boot/boot.h"
#include "boot/boot_file.h"
#include "boot/foreign.h"
#include "boot/handover.h"
#include "boot/kernel.h"

const char *
boot_memory_text(const struct memory *memory, char *buffer, size_t size)
{
	size_t used = 0;

	snprintf(buffer, size, "none");
	for (uint32_t i = 0; i < memory->count && used < size; i++) {
		const struct memory_region *r = memory_region_at(memory, i);

		used += (size_t)snprintf(buffer + used, size - used, "%s0x%llx-0x%llx",
					 i ? ", " : "", (unsigned long long)r->gpa,
					 (unsigned long long)(r->gpa + r->size - 1));
	}
	return buffer;
}

/* Refuses keys that only kernels accept. */
static int
refuse_kernel_keys(const struct config *config, const char *name)
{
	const struct {
		const char *value, *key;
	} keys[] = { { config->boot.initrd, "initrd" },
		     { config->boot.cmdline, "cmdline" },
		     { config->boot.cmdline_file, "cmdline_file" },
		     { config->boot.modules, "modules" } };
	char where[256];
	int r = 0;

	if (config->module_count)
		r = fail(STATUS_USAGE,
			 "%s: image %s does not accept [module %s], because it is not a PVH or "
			 "multiboot kernel; remove the section",
			 config_where(config->modules[0].place, where, sizeof(where)), name,
			 config->modules[0].name);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].value)
			r = fail(STATUS_USAGE,
				 "%s: image %s does not accept %s, because it is not a Linux, "
				 "PVH or multiboot kernel; remove the key",
				 config_boot_where(config, keys[i].key, where, sizeof(where)), name,
				 keys[i].key);
	return r;
}

/* The host address of a flat image of length bytes, or NULL after an error. */
static uint8_t *
flat_place(const struct config *config, const char *where, const char *what, uint64_t length,
	   struct memory *memory, struct boot_entry *entry)
{
	uint8_t *place = length ? memory_at(memory, config->boot.at, length) : NULL;
	char text[160];

	if (!length)
		fail(STATUS_USAGE, "%s: %s is empty", where, what);
	else if (!place)
		fail(STATUS_USAGE,
		     "%s: %s: %llu bytes at 0x%llx do not fit into memory, which is %s; "
		     "set [vm] memory or [boot] at",
		     where, what, (unsigned long long)length, (unsigned long long)config->boot.at,
		     boot_memory_text(memory, text, sizeof(text)));
	else
		memory_note(memory, "image", what, config->boot.at, length);
	*entry = (struct boot_entry){ .entry = config->boot.at,
				      .end = config->boot.at + length,
				      .mode = config->cpu.mode };
	return place;
}

/*
 * Detects the format by the headers of Linux and multiboot. Returns FORMAT_AUTO for ELF, which
 * needs a closer check, and FORMAT_FLAT for other files.
 */
static enum config_format
format_of(const uint8_t *head, size_t length)
{
	if (boot_is_linux(head, length))
		return FORMAT_LINUX;
	if (length >= SELFMAG && !memcmp(head, ELFMAG, SELFMAG))
		return FORMAT_AUTO;
	return boot_is_multiboot(head, length) ? FORMAT_MULTIBOOT : FORMAT_FLAT;
}

bool
boot_is_kernel(const uint8_t *head, size_t length)
{
	return format_of(head, length) != FORMAT_FLAT;
}

/* Loads an ELF file by the protocol that passes the most information: PVH, multiboot, plain ELF. */
static int
load_any_elf(const struct config *config, const struct boot_file *file, const uint8_t *head,
	     size_t length, struct memory *memory, struct boot_entry *entry)
{
	struct program program;
	bool pvh = false;
	int r = program_elf(&program, file);

	if (!r)
		r = boot_is_pvh(&program, &pvh);
	if (r)
		return r;
	if (pvh)
		return boot_pvh(config, file, memory, entry);
	if (boot_is_multiboot(head, length))
		return boot_multiboot(config, file, head, length, memory, entry);
	if (foreign_is_multiboot2(head, length))
		return program_refuse(
		    &program, "it has only a multiboot2 header, which minivmm does not read: "
			      "add one of multiboot 1 or a PVH note, or set [boot] format = "
			      "elf to start it at its ELF entry without the loader's data");
	r = refuse_kernel_keys(config, file->name);
	return r ? r : program_start(&program, config, memory, entry);
}

static int
load_flat(const struct config *config, const char *where, const struct boot_file *file,
	  const uint8_t *head, size_t head_length, struct memory *memory, struct boot_entry *entry)
{
	int r = refuse_kernel_keys(config, file->name);
	uint8_t *place;

	if (r)
		return r;
	place = flat_place(config, where, file->name, file->length, memory, entry);
	foreign_boot_sector(file, entry, head, head_length);
	return place ? boot_file_read(file, 0, place, file->length) : -STATUS_USAGE;
}

static int
load_file(const struct config *config, const char *where, const struct boot_file *file,
	  struct memory *memory, struct boot_entry *entry)
{
	enum config_format format = config->boot.format;
	uint8_t head[MAGIC_HEAD]; /* also contains the headers of multiboot */
	ssize_t n = pread(file->fd, head, sizeof(head), 0);
	size_t length = n > 0 ? (size_t)n : 0;
	int r = 0;

	if (format != FORMAT_FLAT && !boot_is_kernel(head, length))
		r = foreign_image(file, where, head, length);
	if (r)
		return r;
	if (format == FORMAT_AUTO)
		format = format_of(head, length);
	if (format == FORMAT_FLAT)
		return load_flat(config, where, file, head, length, memory, entry);
	if (format == FORMAT_LINUX)
		return boot_linux(config, file, memory, entry);
	if (format == FORMAT_PVH)
		return boot_pvh(config, file, memory, entry);
	if (format == FORMAT_MULTIBOOT)
		return boot_multiboot(config, file, head, length, memory, entry);
	if (format == FORMAT_AUTO)
		return load_any_elf(config, file, head, length, memory, entry);
	r = refuse_kernel_keys(config, file->name);
	return r ? r : boot_elf(config, file, memory, entry);
}

static int
check_modules(const struct config *config)
{
	struct kernel_modules modules;
	int r = kernel_modules_list(config, &modules);

	/* The first is the initrd, if any. */
	for (unsigned i = config->boot.initrd != NULL; i < modules.count; i++)
		if (modules.list[i].path && access(modules.list[i].path, R_OK))
			r = boot_file_missing(config, modules.list[i].path, "module");
	kernel_modules_free(&modules);
	return r;
}

int
boot_check_image(const struct config *config)
{
	const struct {
		const char *path, *what;
	} files[] = { { config->boot.image, "image" },
		      { config->boot.initrd, "initrd" },
		      { config->boot.cmdline_file, "cmdline_file" } };
	int r = 0, more;

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (files[i].path && access(files[i].path, R_OK))
			r = boot_file_missing(config, files[i].path, files[i].what);
	more = check_modules(config);
	return r ? r : more;
}

int
boot_load(const struct config *config, struct memory *memory, struct boot_entry *entry)
{
	char buffer[256];
	const char *where =
	    config_boot_where(config, config->boot.code ? "code" : "image", buffer, sizeof(buffer));
	struct boot_file file;
	int status = boot_check_image(config);

	if (config->boot.code) {
		uint8_t *place;
		int more = refuse_kernel_keys(config, "code");

		if (status || more)
			return status ? status : more;
		place = flat_place(config, where, "code", config->boot.code_length, memory, entry);
		if (!place)
			return -STATUS_USAGE;
		memcpy(place, config->boot.code, config->boot.code_length);
		return 0;
	}
	if (!config->boot.image) {
		/* The memory file may already contain the program. */
		if (config->vm.memory_file) {
			*entry = (struct boot_entry){ .entry = config->boot.at,
						      .mode = config->cpu.mode };
			return 0;
		}
		return fail(STATUS_USAGE, "%s: [boot] has neither image nor code; add one",
			    config->file);
	}
	if (status)
		return status;
	status = boot_file_open(&file, config->boot.image, "image", config);
	if (status)
		return status;
	status = load_file(config, where, &file, memory, entry);
	boot_file_close(&file);
	return status;
}
