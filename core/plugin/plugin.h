/* SPDX-License-Identifier: BSD-2-Clause */
/* A loaded plugin: its descriptor and tables, converted to this host's structs. */
#ifndef PLUGIN_PLUGIN_H
#define PLUGIN_PLUGIN_H

#include <stdbool.h>

#include "base/file.h"
#include "base/why.h"
#include "minivmm/tool.h"

/* A type of option beside those of enum minivmm_type: the connection of a stream, like "stdio". */
#define PLUGIN_STREAM 100u
/* The slot of a PCI device: "none", "next", "3". */
#define PLUGIN_SLOT 101u

/*
 * An option that the user can set: a row of the plugin's options, or an option that the core adds:
 * the address of a range, the output and the input of a stream, and "wait_INPUT", with which the
 * first start waits for input.
 */
struct plugin_option {
	struct minivmm_option row; /* added by the core: offset is PLUGIN_NO_MEMBER */
	bool required;             /* it has no initial value and is not optional */
};
#define PLUGIN_NO_MEMBER UINT32_MAX

struct plugin {
	void *handle;             /* of dlopen() */
	char *path;               /* of the shared object */
	uintptr_t code, code_end; /* addresses of its code, for the report of a crash */
	/* A copy. Its tables are copies in this host's ABI; each ends with a row of zeros. */
	struct minivmm_plugin descriptor;
	uint32_t option_count, range_count, timer_count, stream_count, watch_count, post_count,
	    field_count, acpi_count, pci_count;
	struct plugin_option *all; /* all options that the user can set: see plugin_option() */
	size_t all_count;
	struct minivmm_tool tool; /* a copy of descriptor.tool, if the plugin is a tool */
	void **copies;            /* memory of the copied tables */
	size_t copy_count;
	bool inherited; /* all that the pointers name belongs to another struct */
};

/* Option index of all_count. */
static inline const struct plugin_option *
plugin_option(const struct plugin *plugin, size_t index)
{
	return &plugin->all[index];
}

/*
 * The folders that are searched for plugins, in order: the config's path, $MINIVMM_PLUGIN_PATH,
 * plugins/ beside the program, the folder of installed plugins.
 */
struct plugin_path {
	char **folders; /* without duplicates */
	struct file_id *ids;
	size_t count;
	const char *advice; /* the remedy in the message "not found" */
};
/* configured: folders with ':' between them, or NULL. Returns 0 or a negative status; free in both
 * cases. */
int plugin_path_init(struct plugin_path *path, const char *configured);
/* Folder index of count. */
static inline const char *
plugin_folder(const struct plugin_path *path, size_t index)
{
	return path->folders[index];
}
void plugin_path_free(struct plugin_path *path);

/* Returns the sorted names of the plugins in a folder, *count of them. The caller frees each name
 * and the array. NULL: no plugins. */
char **plugin_names(const char *folder, size_t *count);

/*
 * Finds and loads the plugin with that name; a name with a slash is a path. where is a prefix of
 * messages ("x.ini:3: ") or "". Returns 0, or a negative status after logging the error: not found
 * (lists the folders), not a shared object, no registration, an unsupported ABI, an invalid table.
 * Call plugin_unload() in both cases.
 */
int plugin_load(struct plugin *plugin, const struct plugin_path *path, const char *name,
		const char *where);
void plugin_unload(struct plugin *plugin);
/* Uses a plugin that the process which has forked this one has loaded: the same code, even if its
 * file was replaced. other must stay. Call plugin_unload(). */
void plugin_inherit(struct plugin *plugin, const struct plugin *other);

/*
 * Copies the descriptor and its tables, row by row with the plugin's row sizes, and validates them.
 * Part of plugin_load(), public for tests. Returns 0, or -1 with the table, row and member in why.
 */
int plugin_adopt(struct plugin *plugin, const struct minivmm_registration *registration,
		 struct why *why);

/* What people call the range with this index: the option for its address, else its BAR ("bar0"). */
const char *plugin_range_name(const struct plugin *plugin, uint32_t range);
static inline bool
plugin_bar_is_wide(const struct minivmm_bar *bar)
{
	return bar->type == MINIVMM_BAR_MEMORY64 || bar->type == MINIVMM_BAR_PREFETCHABLE64;
}
/* Whether a BAR is for the range with this index. */
bool plugin_has_bar(const struct plugin *plugin, uint32_t range);
/* Whether this minivmm has a feature that plugins can need: MINIVMM_DEFERRED_ACCESS... */
bool plugin_has_feature(const char *name);

/*
 * Checks that each table of a loaded plugin has an end; call it before plugin_adopt(). Part of
 * plugin_load(). Returns 0, or -1 with the table in why.
 */
int plugin_bounds(const struct minivmm_registration *registration, struct why *why);

/* Finds the code of the object that contains the registration. Part of plugin_load(). */
void plugin_find_code(struct plugin *plugin, const struct minivmm_registration *registration);

const char *plugin_type_name(uint32_t type); /* "u8", "size", "stream", ... */
uint64_t plugin_type_max(uint32_t type);     /* of a number */
/* Formats the number of an option as in a config: "64K" for a size, "5ms" for a duration, hex for
 * ports and addresses. buffer has at least 24 bytes and is returned. */
const char *plugin_value(const struct minivmm_option *row, uint64_t value, char *buffer,
			 size_t size);

#endif
