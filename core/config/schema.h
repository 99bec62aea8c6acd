/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of a config's sections and keys. [device NAME] and the registers of [cpu] are not in
 * it.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config/ini.h"

enum schema_kind {
	SCHEMA_SIZE,    /* uint64_t, bytes */
	SCHEMA_ADDRESS, /* uint64_t, guest physical */
	SCHEMA_COUNT,   /* uint32_t */
	SCHEMA_BOOL,    /* bool */
	SCHEMA_CHOICE,  /* an enum: the index in values */
	SCHEMA_TEXT,    /* char * */
	SCHEMA_INPUT,   /* char *, a resolved input path */
	SCHEMA_FOLDERS, /* char *, DIR[:DIR], each resolved */
	SCHEMA_HEX,     /* uint8_t *, malloced; length_offset: its size_t */
};

struct schema_key {
	const char *section, *name;
	enum schema_kind kind;
	uint32_t offset, length_offset; /* in struct config */
	uint64_t min, max, multiple;    /* of a number; multiple 0: any */
	const char *const *values;      /* of a choice */
	const char *help;               /* a phrase for messages */
};

extern const struct schema_key schema[];    /* ends with a row without section */
extern const char *const schema_sections[]; /* ends with NULL */
const struct schema_key *schema_find(const char *section, const char *name);
bool schema_has_section(const char *name);
/* Is it a named section, as [device NAME]? */
bool schema_has_names(const char *section);

/* Sets the value of a key. Reports errors. Returns 0 or a negative status. */
int schema_set(struct config *config, const char *section, const struct ini_key *key);

/* Reports a key that the section does not have. Returns a negative status. */
int schema_unknown_key(const char *section, const struct ini_key *key);

/*
 * Checks a number against its row, memory against the address limit, and cpus against irqchip.
 * Returns 0, or -1 with the reason in why.
 */
int schema_check(const struct schema_key *row, uint64_t value, struct why *why);
int schema_check_memory(const struct config *config, struct why *why);
int schema_check_cpus(uint64_t cpus, bool irqchip, struct why *why);
bool schema_device_name(const char *name); /* of a module or a tool, too */

bool schema_is_set(
    struct config_place place); /* by --set, in this run or in the run that made the snapshot */

/* The steps of reading a config after ini_read. They print every error. 0 or a negative status. */
int config_override(struct ini *ini, const char *text);
int config_build(struct config *config, const struct ini *ini);

#endif
