/* SPDX-License-Identifier: BSD-2-Clause */
/* A loaded plugin: its descriptor and tables as this host knows them, whatever ABI they were built
 * for. */
#ifndef PLUGIN_PLUGIN_H
#define PLUGIN_PLUGIN_H

#include "config/config.h"
#include "minivmm/plugin.h"

struct plugin {
	void *handle; /* of dlopen */
	char *path;
	struct minivmm_plugin
	    descriptor; /* the tables are this host's copies, ended by rows of zeros */
	size_t option_count, range_count, timer_count, stream_count, watch_count, post_count,
	    field_count;
};

/* Where plugins are looked for, in order: the config's path, $MINIVMM_PLUGIN_PATH, beside the
 * program, installed. */
struct plugin_path {
	char **folders;
	size_t count;
};
int plugin_path_init(struct plugin_path *path, const char *configured);
void plugin_path_free(struct plugin_path *path);

/*
 * Finds and loads NAME (or a path, when it has a slash and by_path allows it). where: put before
 * messages, may be "". Returns 0 or a negative status: not found (the folders are listed), no
 * shared object, no registration, an ABI that this host can't carry, a table that contradicts
 * itself.
 */
int plugin_load(struct plugin *plugin, const struct plugin_path *path, const char *name,
		bool by_path, const char *where);
void plugin_unload(struct plugin *plugin);

/*
 * Copies what registration describes into plugin, row by row by the plugin's own stride. Part of
 * plugin_load; apart for tests. Returns NULL, or what can't be carried, naming the field (in
 * buffer).
 */
const char *plugin_adopt(struct plugin *plugin, const struct minivmm_registration *registration,
			 char *buffer, size_t size);
void plugin_disown(struct plugin *plugin);

#endif
