/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the files of plugin_adopt(): adopt.c copies tables, validate*.c check their rows. */
#ifndef PLUGIN_ADOPT_H
#define PLUGIN_ADOPT_H

#include "plugin/plugin.h"

/*
 * Whether a row or a descriptor can have this many bytes: all contain pointers, and a size that
 * ends inside of one would leave half an address. Larger sizes are taken for a mistake.
 */
#define ADOPT_SIZE_MAX 512u
static inline bool
adopt_size(uint32_t size)
{
	return size >= sizeof(void *) && size <= ADOPT_SIZE_MAX && size % sizeof(void *) == 0;
}

struct adoption {
	struct plugin *plugin;
	uint32_t register_size; /* of a row of registers in the plugin's ABI, in bytes */
	struct why *why;
};

/* Allocates zeroed memory that the plugin owns until it is unloaded. NULL: no memory. */
void *adopt_keep(struct plugin *plugin, size_t size);
/* Replaces *table, rows of stride bytes up to a row of zeros, by a copy with rows of size bytes.
 * table_name is for messages; count may be NULL. Returns 0, or -1 with the reason in a->why. */
int adopt_table(struct adoption *a, const char *table_name, const void **table, uint32_t stride,
		size_t size, uint32_t *count);
/* Validates the descriptor and its copied tables, copies the registers of ranges, and fills
 * plugin->all. Returns 0, or -1 with the reason in a->why. */
int adopt_validate(struct adoption *a);
/* The checks of three tables and of a tool; part of adopt_validate(). */
int adopt_fields(struct adoption *a);
int adopt_acpi(struct adoption *a);
int adopt_pci(struct adoption *a);
int adopt_tool(struct adoption *a);

/* Refuses unknown flags: the plugin uses a newer feature, as with a non-zero unknown member. kind
 * is "field ". Returns 0 or -1. */
int adopt_flags(struct adoption *a, const char *kind, const char *name, uint32_t flags,
		uint32_t known);
/* Checks the name of a row: it becomes the name of an item in snapshots. Returns 0 or -1. */
int adopt_name(struct adoption *a, const char *kind, const char *name);
/* Adds an option that the user can set; table and index are for messages. Returns 0 or -1. */
int adopt_option(struct adoption *a, const char *table, uint32_t index, struct minivmm_option row,
		 bool required);
/* The option or field that has a part of these bytes of the state: its name; NULL: none has. *kind
 * is "option" or "field". The tables of both are valid. */
const char *adopt_user(const struct plugin *plugin, uint64_t offset, uint64_t length,
		       const char **kind);
/* Whether length bytes at offset are in the state. */
bool adopt_fits(const struct plugin *plugin, uint64_t offset, uint64_t length);
/* The number of loaded bytes from an address on; 0: none, or NULL. It takes a walk of all objects.
 */
size_t adopt_loaded(const void *at);
/* Bytes of a member of this type; 0: the type is unknown. */
size_t adopt_member_size(uint32_t type);

#endif
