/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that receive a structure in memory when they start: PVH and multiboot. */
#ifndef BOOT_HANDOVER_H
#define BOOT_HANDOVER_H

#include "boot/kernel.h"
#include "boot/program.h"

struct boot_file;

/* Returns whether the first bytes of a file contain a multiboot header. */
bool boot_is_multiboot(const uint8_t *head, size_t length);
/*
 * Stores in *pvh whether the program has the note with the PVH entry. Reports errors of reading. 0
 * or a negative status.
 */
int boot_is_pvh(const struct program *program, bool *pvh);

/* Load a program; see boot_load. head: the first bytes of the file, MAGIC_HEAD or all. */
int boot_multiboot(const struct config *config, const struct boot_file *file, const uint8_t *head,
		   size_t length, struct memory *memory, struct boot_entry *entry);
int boot_pvh(const struct config *config, const struct boot_file *file, struct memory *memory,
	     struct boot_entry *entry);

/*
 * The parts that both protocols pass: program, command line, modules and memory map. The protocols
 * add their structures with handover_put. All of it is below 4 GiB and does not overlap the
 * program.
 */
struct handover {
	bool names_first; /* the string of a module with arguments begins with its name */
	const struct config *config;
	struct memory *memory;
	struct kernel_modules modules;
	struct kernel_map map;
	gpa_t cmdline, names[KERNEL_MODULES]; /* addresses of the strings */
	size_t cmdline_length;                /* without the NUL */
	gpa_t next, end;                      /* the free part of the room */
};

/*
 * Loads the program, its command line and modules. The caller sets names_first, and zeroes the
 * rest. Returns 0 or a negative status; call handover_free in any case.
 */
int handover_begin(struct handover *handover, const struct config *config,
		   const struct program *program, struct memory *memory, struct boot_entry *entry);
void handover_free(struct handover *handover);
/*
 * Copies bytes into the room, 8-byte aligned, and returns their address. The room is large enough
 * for all structures.
 */
gpa_t handover_put(struct handover *handover, const void *bytes, size_t length);

#endif
