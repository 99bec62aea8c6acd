/* SPDX-License-Identifier: BSD-2-Clause */
/* What kernels are handed, whatever the protocol: command line, modules, the map of memory. */
#ifndef BOOT_KERNEL_H
#define BOOT_KERNEL_H

#include "boot/boot.h"

#define CMDLINE_MAX 65535u /* bytes without the NUL, whatever a kernel says that it takes */

/*
 * The config's command line, from itself or its file, as one malloced string; "" when there is
 * none. kernel, the image's name, takes at most that many bytes, without the NUL. Says what is
 * wrong; 0 or a negative status.
 */
int kernel_cmdline(const struct config *config, const char *kernel, size_t takes, char **text);

/* A file that is loaded for a kernel. */
struct kernel_module {
	char *path;
	char *name; /* the last part of it, malloced */
	gpa_t at;
	uint64_t size;
};

#define KERNEL_MODULES 32

struct kernel_modules {
	struct kernel_module list[KERNEL_MODULES];
	unsigned count;
};

/* The initrd, then the modules that the config names; free in any case. */
int kernel_modules_list(const struct config *config, struct kernel_modules *modules);
void kernel_modules_free(struct kernel_modules *modules);
/*
 * Loads a file at a page boundary as high as it goes below *limit, not below floor, and lowers
 * *limit to it. kernel, the image's name, is said when it does not fit. 0 or a negative status.
 */
int kernel_module_load(const struct config *config, struct kernel_module *module, const char *what,
		       const char *kernel, struct memory *memory, gpa_t floor, gpa_t *limit);

/* The map of memory: what is RAM, and the BIOS's part below 1 MiB, where ACPI's tables are looked
 * for. */
struct kernel_map {
	struct {
		uint64_t at, size;
		uint32_t type; /* KERNEL_RAM, KERNEL_RESERVED: e820's numbers, which PVH and
				  multiboot use too */
	} rows[3 * MEMORY_REGIONS];
	unsigned count;
};
#define KERNEL_RAM 1u
#define KERNEL_RESERVED 2u
void kernel_map(const struct memory *memory, struct kernel_map *map);

#endif
