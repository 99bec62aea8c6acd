/* SPDX-License-Identifier: BSD-2-Clause */
/* The ELF loader: executables for the 386 and x86-64, checked as a whole before a byte is written. */
#include <elf.h>
#include <string.h>

#include "base/log.h"
#include "boot/boot.h"

#define SEGMENTS_MAX 128

/* A program header of either class. */
struct segment {
	uint32_t type;
	uint64_t offset, vaddr, paddr, filesz, memsz;
};

struct elf {
	const char *name;
	const uint8_t *image;
	size_t length;
	bool wide; /* ELF64 */
	uint16_t type, machine, phentsize;
	uint64_t entry, phoff;
	unsigned count;
	struct segment segments[SEGMENTS_MAX];
};

/* Refuses the file: says why, in a line that begins with its name. */
#define refuse(elf, text, ...) fail(STATUS_USAGE, "image %s: " text, (elf)->name, ##__VA_ARGS__)

static bool
overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a_size && b_size && a < b + b_size && b < a + a_size;
}

static int
read_header(struct elf *elf)
{
	const uint8_t *ident = elf->image;
	size_t header, row;

	if (elf->length < EI_NIDENT || memcmp(ident, ELFMAG, SELFMAG))
		return refuse(elf, "this is not an ELF file: set [boot] format = flat?");
	if (ident[EI_CLASS] != ELFCLASS32 && ident[EI_CLASS] != ELFCLASS64)
		return refuse(elf, "ELF class %u is neither 32 nor 64 bit", ident[EI_CLASS]);
	if (ident[EI_DATA] != ELFDATA2LSB)
		return refuse(elf, "big-endian ELF file; an x86 is little-endian");
	elf->wide = ident[EI_CLASS] == ELFCLASS64;
	header = elf->wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
	row = elf->wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
	if (elf->length < header)
		return refuse(elf, "the file has %zu bytes, its header alone %zu: it is cut off",
			      elf->length, header);
#define HEADER(h)                                                                                  \
	do {                                                                                       \
		memcpy(&(h), elf->image, sizeof(h));                                               \
		elf->type = (h).e_type;                                                            \
		elf->machine = (h).e_machine;                                                      \
		elf->entry = (h).e_entry;                                                          \
		elf->phoff = (h).e_phoff;                                                          \
		elf->phentsize = (h).e_phentsize;                                                  \
		elf->count = (h).e_phnum;                                                          \
	} while (0)
	if (elf->wide) {
		Elf64_Ehdr h;

		HEADER(h);
	} else {
		Elf32_Ehdr h;

		HEADER(h);
	}
#undef HEADER
	if (elf->machine != (elf->wide ? EM_X86_64 : EM_386))
		return refuse(elf, "ELF%d file for machine %u; this is an x86: %s is needed",
			      elf->wide ? 64 : 32, elf->machine,
			      elf->wide ? "x86-64 (62)" : "the 386 (3)");
	if (elf->type != ET_EXEC)
		return refuse(elf,
			      "ELF file of type %u%s; an executable (2) is needed: link with %s",
			      elf->type,
			      elf->type == ET_DYN   ? ", shared or position-independent"
			      : elf->type == ET_REL ? ", an object that is not linked"
						    : "",
			      elf->type == ET_DYN ? "-static -no-pie" : "ld");
	if (elf->count == 0 || elf->count > SEGMENTS_MAX)
		return refuse(elf, "%u program headers; 1 to %u are taken", elf->count,
			      SEGMENTS_MAX);
	if (elf->phentsize != row)
		return refuse(elf, "program headers of %u bytes; those of ELF%d have %zu",
			      elf->phentsize, elf->wide ? 64 : 32, row);
	if (elf->phoff > elf->length || elf->length - elf->phoff < elf->count * row)
		return refuse(
		    elf, "%u program headers at offset 0x%llx go past the end of the file, 0x%zx",
		    elf->count, (unsigned long long)elf->phoff, elf->length);
	return 0;
}

static void
read_segments(struct elf *elf)
{
#define SEGMENT(p)                                                                                 \
	do {                                                                                       \
		memcpy(&(p), elf->image + elf->phoff + i * sizeof(p), sizeof(p));                  \
		elf->segments[i] = (struct segment){ (p).p_type,  (p).p_offset, (p).p_vaddr,       \
						     (p).p_paddr, (p).p_filesz, (p).p_memsz };     \
	} while (0)
	for (unsigned i = 0; i < elf->count; i++) {
		if (elf->wide) {
			Elf64_Phdr p;

			SEGMENT(p);
		} else {
			Elf32_Phdr p;

			SEGMENT(p);
		}
	}
#undef SEGMENT
}

static int
check_segment(const struct elf *elf, unsigned i, const struct memory *memory)
{
	const struct segment *s = &elf->segments[i];
	unsigned long long at = s->paddr, size = s->memsz;
	char text[160];
	uint64_t end;

	if (s->filesz > s->memsz)
		return refuse(
		    elf, "segment %u at 0x%llx has 0x%llx bytes in the file but 0x%llx in memory",
		    i, at, (unsigned long long)s->filesz, size);
	if (s->offset > elf->length || elf->length - s->offset < s->filesz)
		return refuse(
		    elf,
		    "segment %u at 0x%llx: its 0x%llx bytes at offset 0x%llx go past the end "
		    "of the file, 0x%zx: it is cut off",
		    i, at, (unsigned long long)s->filesz, (unsigned long long)s->offset,
		    elf->length);
	if (__builtin_add_overflow(s->paddr, s->memsz, &end) ||
	    __builtin_add_overflow(s->vaddr, s->memsz, &end))
		return refuse(elf,
			      "segment %u: 0x%llx bytes at 0x%llx go past the end of all addresses",
			      i, size, at);
	if (!memory_at(memory, s->paddr, s->memsz))
		return refuse(elf,
			      "segment %u at 0x%llx-0x%llx is not inside memory, which is %s: set "
			      "[vm] memory and memory_at, or link it elsewhere",
			      i, at, at + size - 1, boot_memory_text(memory, text, sizeof(text)));
	for (unsigned j = 0; j < i; j++) {
		const struct segment *o = &elf->segments[j];

		if (o->type == PT_LOAD && overlap(s->paddr, s->memsz, o->paddr, o->memsz))
			return refuse(
			    elf, "segments %u at 0x%llx-0x%llx and %u at 0x%llx-0x%llx overlap", j,
			    (unsigned long long)o->paddr,
			    (unsigned long long)(o->paddr + o->memsz - 1), i, at, at + size - 1);
	}
	return 0;
}

/* The entry is a virtual address. When it is inside a segment, its physical one; else as it stands. */
static gpa_t
physical_entry(const struct elf *elf)
{
	for (unsigned i = 0; i < elf->count; i++) {
		const struct segment *s = &elf->segments[i];

		if (s->type == PT_LOAD && elf->entry >= s->vaddr &&
		    elf->entry - s->vaddr < s->memsz)
			return s->paddr + (elf->entry - s->vaddr);
	}
	return elf->entry;
}

static int
check(const struct elf *elf, const struct memory *memory, struct boot_entry *entry)
{
	unsigned loads = 0;
	char text[160];
	int status;

	for (unsigned i = 0; i < elf->count; i++) {
		const struct segment *s = &elf->segments[i];

		if (s->type == PT_INTERP)
			return refuse(elf, "it needs a dynamic linker: link with -static");
		if (s->type != PT_LOAD || (!s->memsz && !s->filesz))
			continue;
		status = check_segment(elf, i, memory);
		if (status)
			return status;
		loads++;
	}
	if (!loads)
		return refuse(elf, "none of its %u program headers is to be loaded (PT_LOAD)",
			      elf->count);
	*entry = (struct boot_entry){ .entry = physical_entry(elf) };
	if (!memory_at(memory, entry->entry, 1))
		return refuse(elf, "its entry point 0x%llx is not inside memory, which is %s",
			      (unsigned long long)entry->entry,
			      boot_memory_text(memory, text, sizeof(text)));
	return 0;
}

int
boot_elf(const char *name, const uint8_t *image, size_t length, struct memory *memory,
	 struct boot_entry *entry)
{
	struct elf elf = { .name = name, .image = image, .length = length };
	int status = read_header(&elf);

	if (status)
		return status;
	read_segments(&elf);
	status = check(&elf, memory, entry);
	if (status)
		return status;
	for (unsigned i = 0; i < elf.count; i++) {
		const struct segment *s = &elf.segments[i];
		uint8_t *to;

		if (s->type != PT_LOAD || !s->memsz)
			continue;
		to = memory_at(memory, s->paddr, s->memsz);
		memcpy(to, image + s->offset, s->filesz);
		memset(to + s->filesz, 0, s->memsz - s->filesz);
		if (s->paddr + s->memsz > entry->end)
			entry->end = s->paddr + s->memsz;
	}
	return 0;
}
