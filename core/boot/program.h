/* SPDX-License-Identifier: BSD-2-Clause */
/* A program: the segments of an image file with their addresses, and the entry. */
#ifndef BOOT_PROGRAM_H
#define BOOT_PROGRAM_H

#include "boot/boot.h"
#include "boot/boot_file.h"

#define PROGRAM_SEGMENTS_MAX 128
#define PROGRAM_NOTES_MAX (1u << 20) /* bytes; those of Linux and Xen have less than 1 KiB */

/* A segment in ELF's terms, also for other formats. Untrusted until program_load has checked it. */
struct program_segment {
	uint32_t type; /* PT_LOAD, ... */
	uint64_t offset, vaddr, paddr, filesz, memsz, align;
};

struct program {
	const char *name; /* for messages */
	const struct boot_file *file;
	uint64_t length; /* of the file */
	uint64_t entry;  /* physical */
	unsigned bits;   /* 32 or 64: the class of an ELF file; else 0 */
	unsigned count;
	struct program_segment segments[PROGRAM_SEGMENTS_MAX];
};

/* Refuses the program with a message that begins with its name. */
#define program_refuse(program, text, ...)                                                         \
	fail(STATUS_USAGE, "image %s: " text, (program)->name, ##__VA_ARGS__)

/* A program from a file, without segments. The program borrows the file. */
struct program program_of(const struct boot_file *file);
/* Reads the headers of an ELF file. Reports errors. 0 or a negative status. */
int program_elf(struct program *program, const struct boot_file *file);

/* The note that program_note looks for, and the result. */
struct program_note {
	const char *owner;
	uint32_t type;
	bool found;
	size_t size;        /* of the contents */
	uint8_t content[8]; /* the first bytes, then zeros */
};
/*
 * Finds the first note with that owner and type in the PT_NOTE segments. Ignores notes that extend
 * past the end of the file or of their segment, and reads at most PROGRAM_NOTES_MAX bytes of all
 * segments. Reports errors of reading. 0 or a negative status.
 */
int program_note(const struct program *program, struct program_note *note);

/*
 * Copies the PT_LOAD segments to their physical addresses after checking the whole program: it
 * writes nothing if it refuses the program. Fills entry for BOOT_RAW. 0 or a negative status.
 */
int program_load(const struct program *program, struct memory *memory, struct boot_entry *entry);
/*
 * Loads a program that no boot protocol enters. Refuses one that needs a dynamic linker, or whose
 * class contradicts [cpu] mode. 0 or a negative status.
 */
int program_start(const struct program *program, const struct config *config, struct memory *memory,
		  struct boot_entry *entry);
/* Returns whether a loaded segment overlaps the range. */
bool program_overlaps(const struct program *program, gpa_t at, uint64_t size);

#endif
