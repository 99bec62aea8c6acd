/* SPDX-License-Identifier: BSD-2-Clause */
/* A plugin's tables as sections of its manual page in mdoc. */
#ifndef CLI_PLUGIN_PAGE_H
#define CLI_PLUGIN_PAGE_H

#include <stdio.h>

#include "plugin/plugin.h"

/* Prints the sections OPTIONS, RESOURCES and STATE. */
void cli_plugin_page(FILE *out, const struct plugin *plugin);

#endif
