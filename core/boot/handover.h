/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that are handed a structure in memory when they start: PVH and multiboot. */
#ifndef BOOT_HANDOVER_H
#define BOOT_HANDOVER_H

#include "boot/kernel.h"
#include "boot/program.h"

struct boot_file;

/* Do the first bytes of a file hold a multiboot header? */
bool boot_is_multiboot(const uint8_t *head, size_t length);
/* Has the program the note that says where PVH starts it? */
bool boot_is_pvh(const struct program *program);

/* The whole file in image; as boot_load. */
int boot_multiboot(const struct config *config, const char *name, const uint8_t *image,
		   size_t length, struct memory *memory, struct boot_entry *entry);
int boot_pvh(const struct config *config, const char *name, const uint8_t *image, size_t length,
	     struct memory *memory, struct boot_entry *entry);

/*
 * What both hand over: everything but their own structures, which they put beside it by
 * handover_put. All of it lies below 4 GiB, clear of the program.
 */
struct handover {
	const struct config *config;
	struct memory *memory;
	struct kernel_modules modules;
	struct kernel_map map;
	gpa_t cmdline, names[KERNEL_MODULES]; /* where the strings are */
	gpa_t next, end;                      /* the room that is left */
};

/* Loads the program, its command line and modules. 0 or a negative status; free in any case. */
int handover_begin(struct handover *handover, const struct config *config,
		   const struct program *program, struct memory *memory, struct boot_entry *entry);
void handover_free(struct handover *handover);
/* Puts bytes into the room, at a multiple of 8; where. There is room for all that is handed
 * over. */
gpa_t handover_put(struct handover *handover, const void *bytes, size_t length);

#endif
