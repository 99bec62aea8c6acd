/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sections of a snapshot in one ordered table. The parser, capture, restore, reset, diff and
 * inspect are passes over it.
 *
 * To add a section: add a tag to format.h, and to sections.c a row with its save, check and load.
 */
#ifndef SNAPSHOT_SECTIONS_H
#define SNAPSHOT_SECTIONS_H

#include "base/record.h"
#include "snapshot/format.h"

struct config;
struct devices;
struct machine;
struct snapshot;
struct snapshot_meta;

/* How many sections of a tag there are. */
enum section_count {
	SECTION_ONE,
	SECTION_OPTIONAL,
	SECTION_PER_VCPU,
	SECTION_PER_DEVICE,
};

/* When a section is saved. The rows of the table are in the order of the file. */
enum section_saved {
	SAVED_BEFORE_STOP, /* while the machine runs: what takes time and does not change */
	SAVED_IN_STOP,
	SAVED_WITH_MEMORY, /* by image_commit, from what was written: the row has no save */
};

/*
 * When a section is loaded. KVM needs this order: a device that is loaded before the chips could
 * raise a line in them that their own load then overwrites.
 */
enum section_loaded {
	LOADED_NEVER,
	LOADED_CONFIG, /* by snapshot_config, before there is a machine: the row has no load */
	LOADED_MEMORY, /* before KVM writes the time of day to it */
	LOADED_VCPUS,
	LOADED_CHIPS,
	LOADED_DEVICES,
	LOADED_LAST,
};

/* The machine whose sections are saved or loaded. */
struct section_context {
	struct machine *machine;
	struct devices *devices;
	const struct config *config;
	const char *parent;              /* save: name of the parent's file, or NULL */
	const struct snapshot *snapshot; /* check, load: where the record is from */
};

struct section {
	uint32_t tag;
	const char *name; /* in messages; NULL ends the table */
	const char *key;  /* in inspect and diff; NULL: they do not show it */
	enum section_count count;
	enum section_saved saved;
	enum section_loaded loaded;
	bool skippable; /* readers that do not know the tag may skip it (SECTION_SKIPPABLE) */
	bool raw;       /* no record */
	bool state;     /* of the running machine: a reset loads it again, and compares it */
	bool named;     /* diff pairs sections by their item "name", not by their index */

	/* Saves into the open group. 0 or a negative status. Machine paused, if SAVED_IN_STOP. */
	int (*save)(const struct section_context *context, uint32_t index,
		    struct record_writer *writer);
	/*
	 * Does the record fit machine and host? Before anything is loaded; changes nothing. NULL:
	 * always. 0, or -1 with the reason in why.
	 */
	int (*check)(const struct section_context *context, uint32_t index,
		     const struct record *record, struct why *why);
	/*
	 * Loads a record that has passed check. record: NULL: a SECTION_OPTIONAL that the file does
	 * not have. 0; -1 with the reason in why; or a negative status, reported already.
	 */
	int (*load)(const struct section_context *context, uint32_t index,
		    const struct record *record, struct why *why);
	/* Is a reset not expected to restore this item? NULL: it restores all. */
	bool (*ignore)(const struct section_context *context, const char *path);
};

#define SECTION_KINDS_MAX 16u /* rows of the table, without the last */
extern const struct section sections[];

/* The tag's row, or NULL. */
const struct section *section_find(uint32_t tag);
/* Steps through the rows in load order, without LOADED_NEVER; NULL: gives the first; ends with
 * NULL.
 */
const struct section *section_next_loaded(const struct section *section);
/* How many sections of a row a file must have at least, and may have at most. */
uint32_t section_least(const struct section *section);
uint32_t section_most(const struct section *section);

struct section_context section_context(struct machine *machine, struct devices *devices);
/* How many sections of a row the machine has. */
uint32_t section_count(const struct section *section, const struct section_context *context);
/*
 * Saves the sections of one phase into meta, in the order of the table. 0 or a negative status,
 * reported; errors of building records are left in meta.
 */
int sections_save(const struct section_context *context, enum section_saved saved,
		  struct snapshot_meta *meta);

#endif
