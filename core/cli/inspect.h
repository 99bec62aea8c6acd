/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts of minivmm inspect that show memory. All return 0 or a negative status, reported. */
#ifndef CLI_INSPECT_H
#define CLI_INSPECT_H

#include <stdio.h>

#include "base/symbols.h"
#include "cli/disassemble.h"
#include "snapshot/reader.h"

/*
 * Prints memory as hexdump -C does. address: a number, which is physical, with a unit or without;
 * "linear:NUMBER"; or the name of a register of vCPU 0. Needs the parents of a diff.
 */
int inspect_dump(FILE *out, const struct snapshot *snapshot, const char *address,
		 const char *length);
/*
 * Writes the map of memory (cli/map.h): as text to stdout; with a path, to that file, as SVG if its
 * name ends in .svg. Needs the parents of a diff.
 */
int inspect_map(const struct snapshot *snapshot, const char *path);
/*
 * Prints the names of the function at rip of a vCPU and of those at addresses on its stack, which
 * may be return addresses.
 */
void inspect_stack(FILE *out, const struct snapshot *snapshot, uint32_t vcpu,
		   const struct symbols *symbols);
/* The code that inspect_code has printed last. Plain data; zeros: none. */
struct inspect_code {
	uint64_t at; /* its linear address */
	size_t length;
	unsigned bits;
	uint8_t bytes[DISASSEMBLE_BYTES];
};
/*
 * Prints the bytes at rip of a vCPU, and the instructions if objdump is installed. Of a diff whose
 * parents are not open, it may say that they are there. Idle vCPUs execute the same code: it is
 * disassembled only if it is not *last, which is replaced.
 */
void inspect_code(FILE *out, const struct snapshot *snapshot, uint32_t vcpu,
		  struct inspect_code *last);

#endif
