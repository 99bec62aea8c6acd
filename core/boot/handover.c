/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loads a program and the data that it receives. The structures are at low addresses, which kernels
 * do not use:
 *
 *   0x6000 strings and structures | 0x9fc00 not RAM | 0x100000 program | ... modules | end of
 * memory
 *
 * They are behind the program if the program overlaps that area or memory begins higher.
 */
#include "boot/handover.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "boot/boot_file.h"
#include "machine/layout.h"

/* Bytes for all but the command line and the arguments of modules. Names of modules have at most
 * 255 bytes. */
#define STRUCTURES 0x4000u
/* The protocols pass 32-bit addresses, or start 32-bit code. */
#define LIMIT (1ull << 32)

_Static_assert(LAYOUT_HANDOVER + CMDLINE_MAX + 1 + STRUCTURES <= LAYOUT_LOW_END,
	       "there is room below 1 MiB");
_Static_assert(KERNEL_MODULES *(256 + 8 + 32) + 3 * MEMORY_REGIONS * 24 + 256 <= STRUCTURES,
	       "strings, rows of modules and map, a structure");

static int
make_room(struct handover *handover, const struct program *program, size_t size,
	  struct boot_entry *entry)
{
	gpa_t at = LAYOUT_HANDOVER;

	if (at + size > LAYOUT_LOW_END || program_overlaps(program, at, size) ||
	    !memory_at(handover->memory, at, size)) {
		at = (entry->end + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1ull);
		entry->end = at + size;
	}
	if (at + size > LIMIT || !memory_at(handover->memory, at, size))
		return program_refuse(
		    program,
		    "its command line and structures have 0x%zx bytes, but there is no "
		    "memory for them at 0x%llx, behind it; enlarge [vm] memory",
		    size, (unsigned long long)at);
	handover->next = at;
	handover->end = at + size;
	memory_note(handover->memory, "command line and boot information", NULL, at, size);
	return 0;
}

gpa_t
handover_put(struct handover *handover, const void *bytes, size_t length)
{
	gpa_t at = (handover->next + 7) & ~7ull;

	if (at + length > handover->end || memory_write(handover->memory, at, bytes, length)) {
		fail(STATUS_BUG, "the room for a kernel's structures is too small");
		return 0;
	}
	handover->next = at + length;
	return at;
}

/* The string of a module: its name; with arguments, as the protocol has it. */
static int
put_string(struct handover *handover, unsigned number)
{
	const struct kernel_module *module = &handover->modules.list[number];
	char *both = NULL;
	const char *string = module->args ? module->args : module->name;

	if (module->args && handover->names_first) {
		if (asprintf(&both, "%s %s", module->name, module->args) < 0)
			return fail_memory("the arguments of a module");
		string = both;
	}
	handover->names[number] = handover_put(handover, string, strlen(string) + 1);
	free(both);
	return handover->names[number] ? 0 : -STATUS_BUG;
}

/* Bytes of the arguments of all modules. */
static size_t
arguments_size(const struct kernel_modules *modules)
{
	size_t size = 0;

	for (unsigned i = 0; i < modules->count; i++)
		size += modules->list[i].args ? strlen(modules->list[i].args) + 1 : 0;
	return size;
}

/* Loads the modules from the end of the first region downwards. */
static int
load_modules(struct handover *handover, const struct program *program, struct boot_entry *entry)
{
	const struct memory_region *first = memory_region_at(handover->memory, 0);
	gpa_t limit = first->gpa + first->size < LIMIT ? first->gpa + first->size : LIMIT;
	int r = 0;

	for (unsigned i = 0; i < handover->modules.count && !r; i++) {
		struct kernel_module *module = &handover->modules.list[i];
		bool initrd = i == 0 && handover->config->boot.initrd;

		r = kernel_module_load(handover->config, module, initrd ? "initrd" : "module",
				       program->name, handover->memory, entry->end, &limit);
		if (r)
			break;
		r = put_string(handover, i);
	}
	return r;
}

int
handover_begin(struct handover *handover, const struct config *config,
	       const struct program *program, struct memory *memory, struct boot_entry *entry)
{
	char *cmdline = NULL;
	int r;

	handover->config = config;
	handover->memory = memory;
	if (config->vm.irqchip && program_overlaps(program, LAYOUT_ACPI, LAYOUT_HIGH - LAYOUT_ACPI))
		return program_refuse(
		    program,
		    "it has a segment between 0x%x and 0x%x, the area of the ACPI "
		    "tables; link it elsewhere or set [vm] irqchip = off",
		    LAYOUT_ACPI, LAYOUT_HIGH);
	if (program->entry >= LIMIT)
		return program_refuse(program, "its entry point 0x%llx is not below 4 GiB",
				      (unsigned long long)program->entry);
	r = program_load(program, memory, entry);
	if (!r)
		r = kernel_cmdline(config, program->name, CMDLINE_MAX, &cmdline);
	if (!r)
		r = kernel_modules_list(config, &handover->modules);
	if (!r)
		r = make_room(handover, program,
			      strlen(cmdline) + 1 + arguments_size(&handover->modules) + STRUCTURES,
			      entry);
	if (!r) {
		handover->cmdline_length = strlen(cmdline);
		handover->cmdline = handover_put(handover, cmdline, strlen(cmdline) + 1);
		r = handover->cmdline ? load_modules(handover, program, entry) : -STATUS_BUG;
	}
	kernel_map(memory, &handover->map);
	free(cmdline);
	return r;
}

void
handover_free(struct handover *handover)
{
	kernel_modules_free(&handover->modules);
}
