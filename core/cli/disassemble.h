/* SPDX-License-Identifier: BSD-2-Clause */
/* Disassembles machine code with objdump, if that is installed. */
#ifndef CLI_DISASSEMBLE_H
#define CLI_DISASSEMBLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISASSEMBLE_LINES 8u   /* at most, of one call */
#define DISASSEMBLE_BYTES 128u /* more bytes of code than that are ignored */

/*
 * Calls line(context, text) for each instruction, in order: its address, bytes and mnemonic,
 * without a newline. bits: 16, 32 or 64. The code is untrusted: objdump reads a file of these bytes
 * and nothing else of the guest, the text contains only printable ASCII, and after 10 s objdump is
 * killed, or when *interrupted becomes true (NULL: never). Without objdump, or if it fails, nothing
 * happens.
 */
void disassemble(const uint8_t *code, size_t length, uint64_t address, unsigned bits,
		 const volatile bool *interrupted, void (*line)(void *context, const char *text),
		 void *context);

#endif
