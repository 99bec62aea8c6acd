/* SPDX-License-Identifier: BSD-2-Clause */
/* Data that all boot protocols pass to kernels: command line, modules and memory map. */
#ifndef BOOT_KERNEL_H
#define BOOT_KERNEL_H

#include "boot/boot.h"

#define CMDLINE_MAX 65535u /* bytes without the NUL; overrides a higher limit of a kernel */

/*
 * Stores the config's command line, from the key or the file, in *text as a malloced string; "" if
 * there is none. Refuses more than limit bytes, not counting the NUL. kernel: the name of the
 * image, for messages. Reports errors. 0 or a negative status.
 */
int kernel_cmdline(const struct config *config, const char *kernel, size_t limit, char **text);

/* A file that is loaded for a kernel. */
struct kernel_module {
	char *path;
	char *name;       /* the last component of path, malloced */
	const char *args; /* the config's; NULL: none */
	gpa_t at;
	uint64_t size;
};

#define KERNEL_MODULES 32

struct kernel_modules {
	struct kernel_module list[KERNEL_MODULES];
	unsigned count;
};

/*
 * Lists the initrd, then the config's modules. Returns 0 or a negative status; call
 * kernel_modules_free in any case.
 */
int kernel_modules_list(const struct config *config, struct kernel_modules *modules);
void kernel_modules_free(struct kernel_modules *modules);
/*
 * Loads a file at the highest page boundary between floor and *limit, and sets *limit to its
 * address. kernel: the name of the image, for messages. 0 or a negative status.
 */
int kernel_module_load(const struct config *config, struct kernel_module *module, const char *what,
		       const char *kernel, struct memory *memory, gpa_t floor, gpa_t *limit);

/* The memory map, sorted: RAM; reserved are the BIOS area below 1 MiB, which contains the ACPI
 * tables, and what memory->reserved says. */
struct kernel_map {
	struct {
		uint64_t at, size;
		uint32_t type; /* KERNEL_RAM or KERNEL_RESERVED, as in e820, PVH and multiboot */
	} rows[3 * MEMORY_REGIONS + 1];
	unsigned count;
};
#define KERNEL_RAM 1u
#define KERNEL_RESERVED 2u
void kernel_map(const struct memory *memory, struct kernel_map *map);

#endif
