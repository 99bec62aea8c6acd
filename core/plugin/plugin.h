/* SPDX-License-Identifier: BSD-2-Clause */
/* A loaded plugin: its descriptor and tables as this host knows them, whatever ABI they were built
 * for. */
#ifndef PLUGIN_PLUGIN_H
#define PLUGIN_PLUGIN_H

#include <stdbool.h>

#include "base/why.h"
#include "minivmm/plugin.h"

/* Types of options that the core makes itself, beside enum minivmm_type. */
#define PLUGIN_STREAM 100u /* what a stream is connected to */

/*
 * An option as the user sees it: a row of the plugin's, or one that the core makes to place a
 * range, connect a stream (input and output), or have the start wait for its input ("wait_" and the
 * input's name).
 */
struct plugin_option {
	struct minivmm_option row; /* offset is PLUGIN_NO_MEMBER when the core made it */
	bool required;             /* no initial value, and not optional */
};
#define PLUGIN_NO_MEMBER UINT32_MAX

struct plugin {
	void *handle; /* of dlopen */
	char *path;
	struct minivmm_plugin
	    descriptor; /* its tables are this host's copies, ended by rows of zeros */
	uint32_t option_count, range_count, timer_count, stream_count, watch_count, post_count,
	    field_count, acpi_count;
	struct plugin_option *all; /* every option that the user may give: plugin_option() */
	size_t all_count;
	void **copies; /* what descriptor points to */
	size_t copy_count;
};

/* One of the all_count options. */
static inline const struct plugin_option *
plugin_option(const struct plugin *plugin, size_t index)
{
	return &plugin->all[index];
}

/*
 * Where plugins are looked for, in order: the config's path, $MINIVMM_PLUGIN_PATH, plugins/ beside
 * the program, the installed ones.
 */
struct plugin_path {
	char **folders; /* no two are one */
	size_t count;
	const char *advice; /* what to do when there is none, for messages */
};
int plugin_path_init(struct plugin_path *path, const char *configured);
/* One of the count folders. */
static inline const char *
plugin_folder(const struct plugin_path *path, size_t index)
{
	return path->folders[index];
}
void plugin_path_free(struct plugin_path *path);

/* The names of the plugins in a folder, sorted; count of them, malloced as the array is. NULL:
 * none. */
char **plugin_names(const char *folder, size_t *count);

/*
 * Finds and loads NAME, or a path when it has a slash. where: put before messages ("x.ini:3: "),
 * may be "". Returns 0 or a negative status: not found (the folders are listed), no shared object,
 * no registration, an ABI that this host can't carry, a table that contradicts itself. unload in
 * any case.
 */
int plugin_load(struct plugin *plugin, const struct plugin_path *path, const char *name,
		const char *where);
void plugin_unload(struct plugin *plugin);

/*
 * Copies what a registration describes, row by row by the plugin's own stride, and checks it. Part
 * of plugin_load; apart for tests. Returns 0, or -1 with what can't be carried in why: table, row
 * and field.
 */
int plugin_adopt(struct plugin *plugin, const struct minivmm_registration *registration,
		 struct why *why);

/*
 * Whether the tables of a plugin that has been loaded end, before they are adopted. Part of
 * plugin_load. Returns 0, or -1 with the table in why.
 */
int plugin_bounds(const struct minivmm_registration *registration, struct why *why);

const char *plugin_type_name(uint32_t type); /* "u8", "size", "stream", ... */
/* An option's number as one writes it: "64K" of a size, "5ms" of a duration, hex of places; in a
 * buffer of 24 bytes or more. */
const char *plugin_value(const struct minivmm_option *row, uint64_t value, char *buffer,
			 size_t size);

#endif
