/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Copies a plugin's tables into this host's structs. A plugin's rows may be shorter or longer than
 * this host's. A shorter row is extended with zeros. The extra bytes of a longer row must be zero:
 * zero means "not used".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plugin/adopt.h"

#define ROWS_MAX 4096u /* a longer table is taken to have no end */

static bool
zero(const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++)
		if (bytes[i])
			return false;
	return true;
}

void *
adopt_keep(struct plugin *plugin, size_t size)
{
	void **copies = realloc(plugin->copies, (plugin->copy_count + 1) * sizeof(*copies));

	if (!copies)
		return NULL;
	plugin->copies = copies;
	copies[plugin->copy_count] = calloc(1, size);
	return copies[plugin->copy_count] ? copies[plugin->copy_count++] : NULL;
}

/* Copies a struct of the plugin's size into this host's struct, which must be zeroed. */
static int
copy(struct adoption *a, const char *name, const void *theirs, uint32_t their_size, void *ours,
     size_t our_size)
{
	size_t common = their_size < our_size ? their_size : our_size;

	memcpy(ours, theirs, common);
	for (size_t i = our_size; i < their_size; i++)
		if (((const uint8_t *)theirs)[i])
			return why_set(
			    a->why,
			    "it needs a newer minivmm: %s uses a member at byte %zu, but this "
			    "minivmm knows %zu bytes; update minivmm",
			    name, i, our_size);
	return 0;
}

int
adopt_table(struct adoption *a, const char *table_name, const void **table, uint32_t stride,
	    size_t size, uint32_t *count)
{
	const uint8_t *theirs = *table;
	uint8_t *ours;
	uint32_t rows = 0;
	char name[48];

	if (!theirs)
		return 0;
	if (!adopt_size(stride))
		return why_set(a->why, "its table of %s has rows of %u bytes; rebuild it",
			       table_name, stride);
	while (!zero(theirs + (size_t)rows * stride, stride))
		if (++rows == ROWS_MAX)
			return why_set(a->why,
				       "its table of %s has no end; end it with MINIVMM_END",
				       table_name);
	ours = adopt_keep(a->plugin, (rows + 1ul) * size);
	if (!ours)
		return why_no_memory(a->why);
	for (uint32_t i = 0; i < rows; i++) {
		snprintf(name, sizeof(name), "%s[%u]", table_name, i);
		if (copy(a, name, theirs + (size_t)i * stride, stride, ours + i * size, size))
			return -1;
	}
	*table = ours;
	if (count)
		*count = rows;
	return 0;
}

bool
plugin_has_feature(const char *name)
{
	static const char *const features[] = { MINIVMM_DEFERRED_ACCESS,
						MINIVMM_HAS_PCI,
						MINIVMM_STREAM_EVENTS,
						MINIVMM_DEFERRED_CAPTURE,
						MINIVMM_PARKED_THREADS,
						MINIVMM_CONNECTIONS,
						MINIVMM_TOOLS };

	for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++)
		if (name && !strcmp(name, features[i]))
			return true;
	return false;
}

int
plugin_adopt(struct plugin *plugin, const struct minivmm_registration *registration,
	     struct why *why)
{
	struct minivmm_registration known = { 0 }, *r = &known;
	struct adoption a = { .plugin = plugin, .why = why };
	struct minivmm_plugin *d = &plugin->descriptor;
	int failed;

	if (registration->abi != MINIVMM_ABI)
		return why_set(why, "it is built for ABI %u, this minivmm has %u; rebuild it",
			       registration->abi, MINIVMM_ABI);
	/* A longer registration adds row sizes of tables that this host does not know. If the
	 * descriptor uses one of these tables, copy() refuses it. */
	memcpy(r, registration,
	       registration->size < sizeof(known) ? registration->size : sizeof(known));
	for (const char *const *need = r->needs; need && *need; need++)
		if (!plugin_has_feature(*need))
			return why_set(why,
				       "it needs the feature %s, which this minivmm lacks; update "
				       "minivmm",
				       *need);
	if (!r->plugin || r->plugin_size < offsetof(struct minivmm_plugin, options))
		return why_set(why, "its registration is too short; use MINIVMM_REGISTER()");
	if (!adopt_size(r->plugin_size))
		return why_set(why, "its descriptor has %u bytes; rebuild it", r->plugin_size);
	a.register_size = r->register_size;
	failed = copy(&a, "the descriptor", r->plugin, r->plugin_size, d, sizeof(*d));
#define TABLE(name, kind)                                                                          \
	if (!failed)                                                                               \
	failed = adopt_table(&a, #name, (const void **)&d->name, r->kind##_size,                   \
			     sizeof(struct minivmm_##kind), &plugin->kind##_count)
	TABLE(options, option);
	TABLE(ranges, range);
	TABLE(timers, timer);
	TABLE(streams, stream);
	TABLE(watches, watch);
	TABLE(posts, post);
	TABLE(fields, field);
	TABLE(acpi, acpi);
	TABLE(pci, pci);
#undef TABLE
	for (uint32_t i = 0; i < plugin->pci_count && !failed; i++) {
		/* The table is a copy: drop const to replace its tables. */
		struct minivmm_pci *row = (struct minivmm_pci *)&d->pci[i];

		failed = adopt_table(&a, "bars", (const void **)&row->bars, r->bar_size,
				     sizeof(struct minivmm_bar), NULL);
		if (!failed)
			failed = adopt_table(&a, "capabilities", (const void **)&row->capabilities,
					     r->capability_size, sizeof(struct minivmm_capability),
					     NULL);
	}
	return failed ? failed : adopt_validate(&a);
}
