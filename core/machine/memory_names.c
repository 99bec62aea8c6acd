/* SPDX-License-Identifier: BSD-2-Clause */
/* What ranges of guest addresses are for: names for people, and what kernels must not use. */
#include <stdio.h>
#include <string.h>

#include "machine/memory.h"

void
memory_note(struct memory *memory, const char *what, const char *file, gpa_t gpa, uint64_t size)
{
	struct memory_name *name = &memory->names[memory->name_count];
	const char *slash = file ? strrchr(file, '/') : NULL;

	if (memory->name_count == MEMORY_NAMES || !size)
		return;
	memory->name_count++;
	name->gpa = gpa;
	name->size = size;
	snprintf(name->text, sizeof(name->text), "%s%s%s", what, file ? " " : "",
		 slash  ? slash + 1
		 : file ? file
			: "");
}

void
memory_reserve(struct memory *memory, gpa_t gpa, uint64_t size)
{
	memory->reserved = gpa;
	memory->reserved_size = size;
}
