/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMCOREINFO: lines of text with which Linux describes itself to debuggers: its release, where
 * KASLR has put it, the layout of structures (Documentation/admin-guide/kdump/vmcoreinfo.rst).
 * Linux keeps it in memory as an ELF note, at the beginning of a page. The memory is untrusted.
 */
#ifndef SNAPSHOT_VMCOREINFO_H
#define SNAPSHOT_VMCOREINFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMCOREINFO_NAME "VMCOREINFO"
#define VMCOREINFO_HEADER 24u /* bytes of the note before the text: ELF header and name */
#define VMCOREINFO_MAX 4096u  /* bytes of text; Linux: VMCOREINFO_BYTES */

/* Plain data. length 0: there is none. */
struct vmcoreinfo {
	char text[VMCOREINFO_MAX + 1]; /* ends with a NUL */
	size_t length;
};

/*
 * Reads guest memory by physical address; false if it cannot be read. Used where the text says what
 * must be there.
 */
typedef bool vmcoreinfo_read(const void *context, uint64_t gpa, void *to, size_t length);

/* For snapshots: context is one. */
vmcoreinfo_read vmcoreinfo_read_snapshot;
/* Whether a page begins with the header of the note. */
bool vmcoreinfo_begins(const uint8_t *page);
/*
 * Takes the note that begins at a page, if it is valid, and if the kernel that it describes is
 * where it says: a page of a file may hold the same bytes. Keeps info otherwise.
 */
bool vmcoreinfo_take(struct vmcoreinfo *info, uint64_t gpa, vmcoreinfo_read *read,
		     const void *context);
/*
 * Search all memory of a snapshot, with its parents, or of a machine, whose vCPUs are stopped. Both
 * read all of it. false: there is none, or a snapshot cannot be read.
 */
struct memory;
struct snapshot;
bool vmcoreinfo_find(struct vmcoreinfo *info, const struct snapshot *snapshot);
bool vmcoreinfo_find_memory(struct vmcoreinfo *info, const struct memory *memory);
/* The value of a line "KEY=value", as a string that ends at the newline; NULL: no such line. key
 * includes the "=". */
const char *vmcoreinfo_value(const struct vmcoreinfo *info, const char *key);
/* Copies the release, or "". */
void vmcoreinfo_release(const struct vmcoreinfo *info, char *to, size_t size);
/* How far KASLR has moved the kernel; 0 if there is no such line. */
uint64_t vmcoreinfo_offset(const struct vmcoreinfo *info);

#endif
