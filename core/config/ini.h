/* SPDX-License-Identifier: BSD-2-Clause */
/* INI text as sections, keys and values, each with its place; what they mean is not known here. */
#ifndef CONFIG_INI_H
#define CONFIG_INI_H

#include "config/config.h"

#define INI_SECTIONS_MAX 1024u
#define INI_KEYS_MAX 1024u /* in one section */

struct ini_key {
	char *name, *value;
	struct config_place place;
};

struct ini_section {
	char *kind;     /* "vm", "device" */
	char *instance; /* "serial0"; NULL: the header has one word */
	struct config_place place;
	struct ini_key *keys;
	size_t key_count;
};

struct ini {
	struct ini_section *sections;
	size_t count;
};

/*
 * Reads text. Every mistake is said; keys after one are read all the same. file: for places, which
 * borrow it. Returns 0 or a negative status; free in any case.
 */
int ini_read(struct ini *ini, const char *file, const char *text, size_t length);
void ini_free(struct ini *ini);

/* instance NULL: the section of one word. */
struct ini_section *ini_find(const struct ini *ini, const char *kind, const char *instance);
struct ini_key *ini_key_find(const struct ini_section *section, const char *name);

/* Adds; set replaces a key of that name. They say and return a negative status when it is too
 * much. */
int ini_add(struct ini *ini, const char *kind, const char *instance, struct config_place place);
int ini_key_set(struct ini_section *section, const char *name, const char *value,
		struct config_place place);

#endif
