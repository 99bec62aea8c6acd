/* SPDX-License-Identifier: BSD-2-Clause */
/* Loads a program after checking all of it. */
#include "boot/program.h"

#include <elf.h>
#include <string.h>

#include "base/log.h"

static bool
overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a_size && b_size && a < b + b_size && b < a + a_size;
}

static int
check_segment(const struct program *program, unsigned i, const struct memory *memory)
{
	const struct program_segment *s = &program->segments[i];
	unsigned long long at = s->paddr, size = s->memsz;
	char text[160];
	uint64_t end;

	if (s->filesz > s->memsz)
		return program_refuse(
		    program,
		    "segment %u at 0x%llx has 0x%llx bytes in the file but 0x%llx in memory", i, at,
		    (unsigned long long)s->filesz, size);
	/* The offset of a segment without bytes in the file means nothing: lld sets any. */
	if (s->filesz && (s->offset > program->length || program->length - s->offset < s->filesz))
		return program_refuse(
		    program,
		    "segment %u at 0x%llx: its 0x%llx bytes at offset 0x%llx extend past the end "
		    "of the file, 0x%llx; the file is truncated",
		    i, at, (unsigned long long)s->filesz, (unsigned long long)s->offset,
		    (unsigned long long)program->length);
	if (__builtin_add_overflow(s->paddr, s->memsz, &end) ||
	    __builtin_add_overflow(s->vaddr, s->memsz, &end))
		return program_refuse(
		    program, "segment %u: 0x%llx bytes at 0x%llx extend past the last address", i,
		    size, at);
	if (!memory_at(memory, s->paddr, s->memsz))
		return program_refuse(
		    program,
		    "segment %u at 0x%llx-0x%llx is not inside memory, which is %s; set "
		    "[vm] memory and memory_at, or link it elsewhere",
		    i, at, at + size - 1, boot_memory_text(memory, text, sizeof(text)));
	for (unsigned j = 0; j < i; j++) {
		const struct program_segment *o = &program->segments[j];

		if (o->type == PT_LOAD && overlap(s->paddr, s->memsz, o->paddr, o->memsz))
			return program_refuse(
			    program, "segments %u at 0x%llx-0x%llx and %u at 0x%llx-0x%llx overlap",
			    j, (unsigned long long)o->paddr,
			    (unsigned long long)(o->paddr + o->memsz - 1), i, at, at + size - 1);
	}
	return 0;
}

static int
check(const struct program *program, const struct memory *memory)
{
	unsigned loads = 0;
	char text[160];
	int status;

	for (unsigned i = 0; i < program->count; i++) {
		const struct program_segment *s = &program->segments[i];

		if (s->type != PT_LOAD || (!s->memsz && !s->filesz))
			continue;
		status = check_segment(program, i, memory);
		if (status)
			return status;
		loads++;
	}
	if (!loads)
		return program_refuse(program, "none of its %u program headers is of type PT_LOAD",
				      program->count);
	if (!memory_at(memory, program->entry, 1))
		return program_refuse(program,
				      "its entry point 0x%llx is not inside memory, which is %s",
				      (unsigned long long)program->entry,
				      boot_memory_text(memory, text, sizeof(text)));
	return 0;
}

int
program_load(const struct program *program, struct memory *memory, struct boot_entry *entry)
{
	int status = check(program, memory);

	*entry = (struct boot_entry){ .entry = program->entry };
	for (unsigned i = 0; i < program->count && !status; i++) {
		const struct program_segment *s = &program->segments[i];
		uint8_t *to;

		if (s->type != PT_LOAD || !s->memsz)
			continue;
		to = memory_at(memory, s->paddr, s->memsz);
		status = boot_file_read(program->file, s->offset, to, s->filesz);
		if (status)
			break;
		memset(to + s->filesz, 0, s->memsz - s->filesz);
		memory_note(memory, "image", program->name, s->paddr, s->memsz);
		if (s->paddr + s->memsz > entry->end)
			entry->end = s->paddr + s->memsz;
	}
	return status;
}

struct program
program_of(const struct boot_file *file)
{
	return (struct program){ .name = file->name, .file = file, .length = file->length };
}

bool
program_overlaps(const struct program *program, gpa_t at, uint64_t size)
{
	for (unsigned i = 0; i < program->count; i++) {
		const struct program_segment *s = &program->segments[i];

		if (s->type == PT_LOAD && overlap(s->paddr, s->memsz, at, size))
			return true;
	}
	return false;
}
