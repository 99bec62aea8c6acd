/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the two halves of plugin_adopt(): adopt.c copies tables, validate.c checks their rows.
 */
#ifndef PLUGIN_ADOPT_H
#define PLUGIN_ADOPT_H

#include "plugin/plugin.h"

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

#endif
