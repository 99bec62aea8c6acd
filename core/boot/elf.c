/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads ELF executables for the 386 and x86-64. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "boot/program.h"

/* The ELF header of either class. */
struct header {
	bool wide; /* ELF64 */
	uint16_t type, machine, phentsize, phnum;
	uint64_t entry, phoff;
};

/* bytes: as many as the header of the class has. */
static void
take_header(const uint8_t *bytes, struct header *header)
{
#define HEADER(h)                                                                                  \
	do {                                                                                       \
		memcpy(&(h), bytes, sizeof(h));                                                    \
		header->type = (h).e_type;                                                         \
		header->machine = (h).e_machine;                                                   \
		header->entry = (h).e_entry;                                                       \
		header->phoff = (h).e_phoff;                                                       \
		header->phentsize = (h).e_phentsize;                                               \
		header->phnum = (h).e_phnum;                                                       \
	} while (0)
	if (header->wide) {
		Elf64_Ehdr h;

		HEADER(h);
	} else {
		Elf32_Ehdr h;

		HEADER(h);
	}
#undef HEADER
}

static int
check_header(const struct program *program, const struct header *header)
{
	size_t row = header->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);

	if (header->machine != (header->wide ? EM_X86_64 : EM_386))
		return program_refuse(program, "ELF%d file for machine %u; build it for %s",
				      header->wide ? 64 : 32, header->machine,
				      header->wide ? "x86-64 (62)" : "the 386 (3)");
	if (header->type != ET_EXEC)
		return program_refuse(
		    program, "ELF file of type %u%s; an executable (2) is needed; link with %s",
		    header->type,
		    header->type == ET_DYN   ? ", shared or position-independent"
		    : header->type == ET_REL ? ", an object file"
					     : "",
		    header->type == ET_DYN ? "-static -no-pie" : "ld");
	if (header->phnum == 0 || header->phnum > PROGRAM_SEGMENTS_MAX)
		return program_refuse(program, "%u program headers; 1 to %u are supported",
				      header->phnum, PROGRAM_SEGMENTS_MAX);
	if (header->phentsize != row)
		return program_refuse(program,
				      "program headers of %u bytes; those of ELF%d have %zu",
				      header->phentsize, header->wide ? 64 : 32, row);
	if (header->phoff > program->length ||
	    program->length - header->phoff < header->phnum * row)
		return program_refuse(
		    program,
		    "%u program headers at offset 0x%llx extend past the end of the file, 0x%llx",
		    header->phnum, (unsigned long long)header->phoff,
		    (unsigned long long)program->length);
	return 0;
}

static int
read_header(const struct program *program, struct header *header)
{
	uint8_t ident[sizeof(Elf64_Ehdr)] = { 0 };
	size_t size = program->length < sizeof(ident) ? program->length : sizeof(ident);
	int status = boot_file_read(program->file, 0, ident, size);

	if (status)
		return status;
	if (program->length < EI_NIDENT || memcmp(ident, ELFMAG, SELFMAG))
		return program_refuse(program,
				      "it is not an ELF file; set [boot] format = flat or auto");
	if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
		return program_refuse(program, "ELF class %u is neither 1 (32 bit) nor 2 (64 bit)",
				      ident[EI_CLASS]);
	if (ident[EI_DATA] != ELFDATA2LSB)
		return program_refuse(program, "big-endian ELF file; an x86 is little-endian");
	header->wide = ident[EI_CLASS] == ELFCLASS64;
	size = header->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	if (program->length < size)
		return program_refuse(
		    program, "the file is truncated: it has %llu bytes, its header has %zu",
		    (unsigned long long)program->length, size);
	take_header(ident, header);
	return check_header(program, header);
}

static int
read_segments(struct program *program, const struct header *header)
{
	uint8_t rows[PROGRAM_SEGMENTS_MAX * sizeof(Elf64_Phdr)];
	int status = boot_file_read(program->file, header->phoff, rows,
				    (uint64_t)header->phnum * header->phentsize);

	if (status)
		return status;
#define SEGMENT(p)                                                                                 \
	do {                                                                                       \
		memcpy(&(p), rows + i * sizeof(p), sizeof(p));                                     \
		program->segments[i] = (struct program_segment){                                   \
			(p).p_type,   (p).p_offset, (p).p_vaddr, (p).p_paddr,                      \
			(p).p_filesz, (p).p_memsz,  (p).p_align,                                   \
		};                                                                                 \
	} while (0)
	for (unsigned i = 0; i < header->phnum; i++) {
		if (header->wide) {
			Elf64_Phdr p;

			SEGMENT(p);
		} else {
			Elf32_Phdr p;

			SEGMENT(p);
		}
	}
#undef SEGMENT
	program->count = header->phnum;
	return 0;
}

/*
 * The physical address of the entry, which is a virtual address; unchanged if no segment contains
 * it.
 */
static gpa_t
physical_entry(const struct program *program, uint64_t entry)
{
	for (unsigned i = 0; i < program->count; i++) {
		const struct program_segment *s = &program->segments[i];

		if (s->type == PT_LOAD && entry >= s->vaddr && entry - s->vaddr < s->memsz)
			return s->paddr + (entry - s->vaddr);
	}
	return entry;
}

int
program_elf(struct program *program, const struct boot_file *file)
{
	struct header header = { 0 };
	int status;

	*program = program_of(file);
	status = read_header(program, &header);
	if (!status)
		status = read_segments(program, &header);
	if (status)
		return status;
	program->bits = header.wide ? 64 : 32;
	program->entry = physical_entry(program, header.entry);
	return 0;
}

/*
 * Finds the note in the bytes of a segment. A note is a header, the owner's name and the contents;
 * both are padded.
 */
static void
note_in(const uint8_t *notes, size_t length, size_t align, struct program_note *wanted)
{
	Elf32_Nhdr note; /* ELF64's is the same */

	while (length >= sizeof(note)) {
		size_t name, contents, next;

		memcpy(&note, notes, sizeof(note));
		name = sizeof(note);
		contents = (name + note.n_namesz + align - 1) & ~(align - 1);
		next = (contents + note.n_descsz + align - 1) & ~(align - 1);
		if (contents > length || note.n_descsz > length - contents)
			return;
		if (note.n_type == wanted->type && note.n_namesz == strlen(wanted->owner) + 1 &&
		    !memcmp(notes + name, wanted->owner, note.n_namesz)) {
			wanted->found = true;
			wanted->size = note.n_descsz;
			memcpy(wanted->content, notes + contents,
			       note.n_descsz < sizeof(wanted->content) ? note.n_descsz
								       : sizeof(wanted->content));
			return;
		}
		if (next > length)
			return;
		notes += next;
		length -= next;
	}
}

int
program_note(const struct program *program, struct program_note *note)
{
	size_t room = PROGRAM_NOTES_MAX;
	uint8_t *bytes = malloc(room);
	int status = 0;

	if (!bytes)
		return fail_memory("the notes of image %s", program->name);
	/* A segment that is aligned to 8 contains notes padded to 8, or, from GNU ld, to 4. */
	for (unsigned i = 0; i < program->count && !status && !note->found; i++) {
		const struct program_segment *s = &program->segments[i];
		size_t length = s->filesz < room ? s->filesz : room;

		if (s->type != PT_NOTE || s->offset > program->length ||
		    program->length - s->offset < s->filesz)
			continue;
		room -= length;
		status = boot_file_read(program->file, s->offset, bytes, length);
		if (!status && s->align == 8)
			note_in(bytes, length, 8, note);
		if (!status && !note->found)
			note_in(bytes, length, 4, note);
	}
	free(bytes);
	return status;
}

/*
 * The CPU mode of a program that no boot protocol enters: that of its class, unless [cpu] asks for
 * real mode, which has no class.
 */
static int
program_mode(const struct program *program, const struct config *config, enum config_mode *mode)
{
	enum config_mode own = program->bits == 64 ? MODE_LONG : MODE_PROTECTED;
	const char *given = own == MODE_LONG ? "protected" : "long";
	char where[256];

	*mode = config->cpu.mode_place.file ? config->cpu.mode : own;
	if (*mode == own || *mode == MODE_REAL)
		return 0;
	return program_refuse(
	    program,
	    "it is ELF%u, so its code runs in %s mode, but %s sets [cpu] mode = "
	    "%s; remove that key, or build an ELF%u file",
	    program->bits, own == MODE_LONG ? "long" : "protected",
	    config_key_where(config->cpu.mode_place, "cpu", "mode", where, sizeof(where)), given,
	    96 - program->bits);
}

static bool
needs_linker(const struct program *program)
{
	for (unsigned i = 0; i < program->count; i++)
		if (program->segments[i].type == PT_INTERP)
			return true;
	return false;
}

int
program_start(const struct program *program, const struct config *config, struct memory *memory,
	      struct boot_entry *entry)
{
	enum config_mode mode;
	int status;

	if (needs_linker(program))
		return program_refuse(program, "it needs a dynamic linker; link it with -static");
	status = program_mode(program, config, &mode);
	if (!status)
		status = program_load(program, memory, entry);
	entry->mode = mode;
	return status;
}

int
boot_elf(const struct config *config, const struct boot_file *file, struct memory *memory,
	 struct boot_entry *entry)
{
	struct program program;
	int status = program_elf(&program, file);

	return status ? status : program_start(&program, config, memory, entry);
}
