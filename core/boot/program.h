/* SPDX-License-Identifier: BSD-2-Clause */
/* What is loaded of an image: segments of the file, each with its place in memory, and where to
 * start. */
#ifndef BOOT_PROGRAM_H
#define BOOT_PROGRAM_H

#include "boot/boot.h"

#define PROGRAM_SEGMENTS_MAX 128

/* The words are ELF's; other formats are put into them. Untrusted, until program_load has checked
 * it. */
struct program_segment {
	uint32_t type; /* PT_LOAD, ... */
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

struct program {
	const char *name; /* for messages */
	const uint8_t *image;
	size_t length;
	uint64_t entry; /* physical */
	unsigned count;
	struct program_segment segments[PROGRAM_SEGMENTS_MAX];
};

/* Refuses the program: says why, in a line that begins with its name. */
#define program_refuse(program, text, ...)                                                         \
	fail(STATUS_USAGE, "image %s: " text, (program)->name, ##__VA_ARGS__)

/* Reads an ELF file's headers. The image stays the caller's, and must stay. Says what is wrong; 0
 * or a negative status. */
int program_elf(struct program *program, const char *name, const uint8_t *image, size_t length);
/*
 * The contents of the first note by that owner and type in the file's PT_NOTE segments, and their
 * size; NULL: there is none. What goes past the end of the file or of its segment is no note.
 */
const uint8_t *program_note(const struct program *program, const char *owner, uint32_t type,
			    size_t *size);

/*
 * Puts the PT_LOAD segments at their physical addresses, after all of the program has been checked:
 * nothing is written of one that is refused. Fills entry, for BOOT_RAW. 0 or a negative status.
 */
int program_load(const struct program *program, struct memory *memory, struct boot_entry *entry);
/* Does something of what is loaded lie there? */
bool program_overlaps(const struct program *program, gpa_t at, uint64_t size);

#endif
