/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records: self-describing trees of named, typed values. All state is saved as records. They can be
 * printed, compared and checked without knowledge of their writer.
 *
 * Encoding of an item, little-endian:
 *
 *     u8 type   u8 name length   name   u32 count   payload
 *
 * type is a RECORD_ type; RECORD_ARRAY is set if the value is an array. count is the number of
 * elements, or of bytes for TEXT, GROUP and LIST. A GROUP holds items with distinct names; a LIST
 * holds unnamed GROUPs.
 */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/why.h"

enum record_type {
	RECORD_U8 = 1, /* U8 to BOOL equal MINIVMM_U8 to MINIVMM_BOOL */
	RECORD_U16,
	RECORD_U32,
	RECORD_U64,
	RECORD_BOOL,
	RECORD_TEXT, /* no NUL inside */
	RECORD_GROUP,
	RECORD_LIST,
	RECORD_ARRAY = 0x80, /* flag */
};

#define RECORD_DEPTH 16                                      /* nesting levels */
#define RECORD_ITEMS 4096                                    /* per group; a list has no limit */
#define RECORD_SEEN 512                                      /* bits */
#define RECORD_HEADER(name_length) (2u + (name_length) + 4u) /* bytes before the payload */

/*
 * Appends records to a buffer that it owns. Errors (no memory, nesting too deep, too many items, an
 * invalid or duplicate name) are sticky: check failed once, after record_finish. record_open
 * accepts the buffer if there was no error. Duplicate names are found at the end of their group, by
 * sorting: a group of n items costs O(n log n).
 */
struct record_writer {
	uint8_t *data;
	size_t length, capacity;
	size_t root; /* offset of the root's first item; bytes before it belong to the owner */
	size_t open[RECORD_DEPTH]; /* offset of each open group or list */
	unsigned depth;
	bool failed, no_memory;                  /* no_memory: the cause of failed */
	struct record_names {                    /* for the root and each open group or list */
		uint64_t seen[RECORD_SEEN / 64]; /* a bit per hash of a name */
		uint32_t items;
		bool doubtful; /* two names have the same bit: record_end compares them */
		bool known;    /* see record_known_names */
		bool unseen;   /* the names up to now are known: their bits are not set */
	} names[RECORD_DEPTH + 1];
};

/*
 * Returns whether an item may have this name: 1 to 255 bytes of printable ASCII except space, ", \
 * and =.
 */
bool record_name(const char *name);

void record_writer_free(struct record_writer *writer);
/*
 * Makes room for length more bytes and touches it, so that appending them neither allocates nor
 * causes page faults. Without memory, appending allocates later.
 */
void record_reserve(struct record_writer *writer, size_t length);
/* Begins another root behind what the buffer holds: its names are distinct from each other only. */
void record_root(struct record_writer *writer);
/* Appends length bytes that are not an item, and returns their address, or NULL after an error. */
void *record_append(struct record_writer *writer, size_t length);
/* Reports an error of the caller; it is sticky like the writer's errors. */
void record_fail(struct record_writer *writer, bool no_memory);
void record_put(struct record_writer *writer, const char *name, enum record_type type,
		const void *values, size_t count, bool array);
void record_put_u32(struct record_writer *writer, const char *name, uint32_t value);
void record_put_u64(struct record_writer *writer, const char *name, uint64_t value);
void record_put_bool(struct record_writer *writer, const char *name, bool value);
void record_put_text(struct record_writer *writer, const char *name,
		     const char *text); /* NULL: writes nothing */
void record_put_bytes(struct record_writer *writer, const char *name, const void *bytes,
		      size_t length);
/* Adds an array of numbers that the caller stores at the returned address, which is unaligned,
 * before it appends more. NULL: count is 0, or an error. */
uint8_t *record_put_room(struct record_writer *writer, const char *name, enum record_type type,
			 size_t count);
/*
 * Opens a group (RECORD_GROUP) or list (RECORD_LIST). An element of a list is a group with a NULL
 * name.
 */
void record_begin(struct record_writer *writer, const char *name, enum record_type type);
void record_end(struct record_writer *writer);
/*
 * Begins or ends the items of a table in an open group: the caller has checked once that their
 * names are valid and distinct, so that the writer does not look at them. If the group has items
 * before these, it does.
 */
void record_known_names(struct record_writer *writer, bool begin);
/* Ends the whole record: an open group or list, and duplicate names outside of groups, are errors.
 */
void record_finish(struct record_writer *writer);

/*
 * A value in a buffer. It is borrowed and valid as long as the buffer. data is unaligned: read it
 * with record_number or memcpy.
 */
struct record {
	uint8_t type; /* without RECORD_ARRAY */
	bool array;
	uint8_t name_length;
	const char *name; /* not terminated */
	uint32_t count;   /* elements, or bytes of TEXT, GROUP, LIST */
	const uint8_t *data;
};

/* Copies an item, with its contents, from a buffer that record_open has accepted. */
void record_put_item(struct record_writer *writer, const struct record *item);

/*
 * Checks a whole buffer once: sizes, types, depth, and distinct valid names in each group. The
 * functions below are safe on any part of a checked buffer only. root becomes an unnamed group.
 * Returns 0, or -1 with the reason in why.
 */
int record_open(const void *data, size_t length, struct record *root, struct why *why);

/*
 * Steps through the items of a group or list. Start with *position = 0. Returns false at the end.
 */
bool record_next(const struct record *parent, size_t *position, struct record *item);
bool record_find(const struct record *group, const char *name, struct record *item);
size_t record_elements(const struct record *parent); /* number of items of a group or list */
/*
 * Checks that a group has no items but those with these names (the last is NULL). Returns 0, or -1
 * with the first other name in why.
 */
int record_only(const struct record *group, const char *const *names, struct why *why);

/*
 * The items of a group in a checked buffer, sorted by name: each lookup takes O(log n), where
 * record_find takes O(n). Use it wherever the number of lookups depends on a file.
 */
struct record_index {
	struct record group; /* borrowed */
	struct record_index_item {
		uint32_t position; /* in the group */
		uint32_t number;   /* of the items before it */
	} * items;                 /* malloced */
	size_t count;
};
/* Returns 0, or -1: no memory. Call record_index_free in any case. */
int record_index_open(struct record_index *index, const struct record *group);
void record_index_free(struct record_index *index);
/* Finds the item with the name, of length bytes. */
bool record_index_find(const struct record_index *index, const char *name, size_t length,
		       struct record *item);
/* Returns whether two items of the group have the same name. */
bool record_index_duplicate(const struct record_index *index);

/*
 * Finds many items of a group in a checked buffer. It expects you to ask in the order of the items:
 * then a lookup costs one comparison. In another order, or if items are missing, it sorts the group
 * once, and a lookup takes O(log n); without memory it searches.
 */
struct record_lookup {
	struct record group;
	struct record_index index; /* opened when many items were not where they are expected */
	size_t next;               /* position of the item after the last one found */
	uint32_t count;            /* of the items before that position */
	unsigned passed;           /* items that searches have passed */
};
void record_lookup_open(struct record_lookup *lookup, const struct record *group);
void record_lookup_close(struct record_lookup *lookup);
/* Finds the item with the name, of length bytes. */
bool record_lookup_find(struct record_lookup *lookup, const char *name, size_t length,
			struct record *item);
size_t record_width(enum record_type type); /* bytes per element: 1, 2, 4 or 8; 1 for other types */
bool record_is(const struct record *item, const char *name);

/*
 * Returns the index of the first of count numbers that exceeds max, or count. Reads at the speed of
 * memory. values may be unaligned.
 */
size_t record_find_above(enum record_type type, const void *values, size_t count, uint64_t max);
/* Returns an element as a number. The type must be U8 to BOOL, and index < count. */
uint64_t record_number(const struct record *item, uint32_t index);
/* Finds a scalar of any numeric type. false: it is missing or has another type. */
bool record_get_u64(const struct record *group, const char *name, uint64_t *value);
/* Copies a text into malloced memory. Returns 0, or -1: missing, another type, or no memory. */
int record_copy_text(const struct record *group, const char *name, char **text, struct why *why);
/* Finds an array of bytes. *bytes is borrowed. */
bool record_get_bytes(const struct record *group, const char *name, const uint8_t **bytes,
		      size_t *length);

/*
 * Prints a tree for people, one value per line ("path.to.value = 0x12"; elements of a list as
 * name[0]). Long arrays are hex dumps in which "*" replaces repeated lines. prefix: the beginning
 * of each path, may be "".
 */
void record_print(FILE *out, const struct record *item, const char *prefix);
/*
 * Prints the value as JSON: numbers, and hex strings for arrays of bytes. Output starts in the
 * current line, which has indent tabs, and ends without a newline.
 */
void record_print_json(FILE *out, const struct record *item, int indent);

/*
 * Compares two groups. Calls differs(path, a, b) for each item that differs or exists on one side
 * only (the other is then NULL). Returns the number of calls.
 */
size_t record_compare(const struct record *a, const struct record *b, const char *prefix,
		      void (*differs)(void *context, const char *path, const struct record *a,
				      const struct record *b),
		      void *context);

#endif
