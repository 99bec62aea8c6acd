/* SPDX-License-Identifier: BSD-2-Clause */
/* INI text as sections, keys and values with their places. This module does not interpret them. */
#ifndef CONFIG_INI_H
#define CONFIG_INI_H

#include "config/config.h"

#define INI_SECTIONS_MAX 1024u
#define INI_KEYS_MAX 1024u /* per section */

struct ini_key {
	char *name, *value;
	struct config_place place;
};

struct ini_section {
	char *kind;     /* "vm", "device" */
	char *instance; /* "serial0"; NULL if the header has one word */
	struct config_place place;
	struct ini_key *keys;
	size_t key_count;
};

struct ini {
	struct ini_section *sections;
	size_t count;
};

/*
 * Parses text. Prints every error and continues with the next line. file is for places, which
 * borrow it. Returns 0 or a negative status; call ini_free in any case.
 */
int ini_read(struct ini *ini, const char *file, const char *text, size_t length);
void ini_free(struct ini *ini);

/* instance NULL: finds a section whose header has one word. */
struct ini_section *ini_find(const struct ini *ini, const char *kind, const char *instance);
struct ini_key *ini_key_find(const struct ini_section *section, const char *name);

/*
 * ini_add adds a section. ini_key_set adds or replaces a key. Both report errors and return 0 or a
 * negative status.
 */
int ini_add(struct ini *ini, const char *kind, const char *instance, struct config_place place);
int ini_key_set(struct ini_section *section, const char *name, const char *value,
		struct config_place place);

#endif
