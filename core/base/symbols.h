/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The names of code addresses, from the symbol table of an ELF file (32 or 64 bits) or from Linux's
 * System.map. The file is untrusted: it takes time and memory in proportion to its size.
 */
#ifndef BASE_SYMBOLS_H
#define BASE_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/why.h"

struct symbol {
	uint64_t at, end; /* the first address behind it */
	uint32_t name;    /* its offset in names */
	uint32_t rank;    /* of several at one address, the greatest names it */
};

/* Zeroed by the caller, or filled by symbols_open. Plain data afterwards, for any thread. */
struct symbols {
	struct symbol *list; /* ascending */
	size_t count, room;
	char *names; /* ends with a NUL */
	size_t names_size;
	/* Added to all addresses: KASLR has moved the kernel. Set by the caller. */
	uint64_t shift;
};

/* Reads the file. 0, or -1 with a reason that continues a message after the path. Call symbols_free
 * in any case. */
int symbols_open(struct symbols *symbols, const char *path, struct why *why);
void symbols_free(struct symbols *symbols);
/* Whether they are those of a Linux kernel, whose addresses KASLR may move. */
bool symbols_kernel(const struct symbols *symbols);
/*
 * Formats an address as "name+0x1a", truncated to size. NULL: no function is there. The name is
 * that of the file, with any bytes: escape it.
 */
const char *symbols_text(const struct symbols *symbols, uint64_t address, char *buffer,
			 size_t size);

#endif
