/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of the sections of a snapshot. Parser, capture, restore, reset, diff and inspect
 * iterate over it.
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

/* The number of sections with a tag. */
enum section_count {
	SECTION_ONE,
	SECTION_OPTIONAL,
	SECTION_PER_VCPU,
	SECTION_PER_DEVICE,
};

/* When a section is saved. The order of the rows is that of the file. */
enum section_saved {
	SAVED_BEFORE_STOP, /* while the machine runs: slow to save, and it does not change */
	SAVED_IN_STOP,
	SAVED_WITH_MEMORY, /* by image_commit: the row has no save */
};

/*
 * When a section is loaded. KVM needs this order. For example, a device that is loaded before the
 * interrupt controllers could raise a line, which their load would overwrite.
 */
enum section_loaded {
	LOADED_NEVER,
	LOADED_CONFIG, /* by snapshot_config, before the machine exists: the row has no load */
	LOADED_MEMORY, /* before KVM writes the time of day to it */
	LOADED_VCPUS,
	LOADED_CHIPS,
	LOADED_DEVICES,
	LOADED_LAST,
};

/* The machine whose sections are saved, checked or loaded. */
struct section_context {
	struct machine *machine;
	struct devices *devices;
	const struct config *config;     /* of the machine that is or will be */
	const char *parent;              /* for save: name of the parent's file, or NULL */
	const struct snapshot *snapshot; /* for check and load: the record's snapshot */
};

struct section {
	uint32_t tag;
	const char *name; /* for messages; NULL ends the table */
	const char *key;  /* JSON key in inspect and diff; NULL: not shown */
	enum section_count count;
	enum section_saved saved;
	enum section_loaded loaded;
	bool skippable; /* readers that do not know the tag may skip it (SECTION_SKIPPABLE) */
	bool raw;       /* bytes instead of a record */
	bool state;     /* state of the running machine: a reset loads and compares it */
	bool named;     /* diff pairs sections by their item "name", not by their index */

	/* Of a SECTION_OPTIONAL: whether this machine has it. NULL: every machine has. */
	bool (*exists)(const struct section_context *context);
	/* Writes the items. Returns 0 or a negative status, reported. With SAVED_IN_STOP the
	 * machine is paused. */
	int (*save)(const struct section_context *context, uint32_t index,
		    struct record_writer *writer);
	/* Of the last row with SAVED_BEFORE_STOP: how often what it saves has changed. If that
	 * differs in the stop, it is saved once more. NULL: it does not change. */
	unsigned (*changes)(const struct section_context *context);
	/* Returns at least the bytes that save will write in the stop, so that it has room for
	 * them; with changes, at least by how many more. The machine runs. Main thread. */
	size_t (*room)(const struct section_context *context, uint32_t index);
	/*
	 * Checks the record by itself and against the config: its items, their types, and that none
	 * is unknown. Of the context it uses config and snapshot: no machine exists yet. NULL: the
	 * parser has checked it. Returns 0, or -1 with the reason in why.
	 */
	int (*valid)(const struct section_context *context, uint32_t index,
		     const struct record *record, struct why *why);
	/*
	 * Checks that a valid record fits machine and host. Changes nothing; all checks run before
	 * the first load. NULL: it always fits. Returns 0, or -1 with the reason in why.
	 */
	int (*check)(const struct section_context *context, uint32_t index,
		     const struct record *record, struct why *why);
	/*
	 * Loads a record that has passed valid and check. record: NULL if the file lacks a
	 * SECTION_OPTIONAL. Returns 0; -1 with the reason in why; or another negative status,
	 * reported.
	 */
	int (*load)(const struct section_context *context, uint32_t index,
		    const struct record *record, struct why *why);
	/* Does the comparison after a reset ignore this item? NULL: it compares all. */
	bool (*ignore)(const struct section_context *context, const char *path);
};

/* At most SECTION_KINDS_MAX rows. */
extern const struct section sections[];

/* Returns the tag's row, or NULL. */
const struct section *section_find(uint32_t tag);
/* Steps through the rows in load order, without LOADED_NEVER. section: NULL: returns the first row.
 * Returns NULL after the last one. */
const struct section *section_next_loaded(const struct section *section);
/* The minimum and maximum number of sections of a row in a file. */
uint32_t section_min(const struct section *section);
uint32_t section_max(const struct section *section);

struct section_context section_context(struct machine *machine, struct devices *devices);
/* The number of sections of a row for the machine of the context's config. */
uint32_t section_count(const struct section *section, const struct section_context *context);
/* Returns the bytes for which to make room before a stop, with record_reserve(). Main thread. */
size_t sections_room(const struct section_context *context);
/*
 * Saves the sections of one phase into meta, in the order of the table. Returns 0 or a negative
 * status, reported. Errors of building records are left in meta.
 */
int sections_save(const struct section_context *context, enum section_saved saved,
		  struct snapshot_meta *meta);

#endif
