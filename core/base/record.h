/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records: trees of named, typed values that describe themselves. State of all kinds is saved as
 * records. They are printed, compared and checked without knowledge of what wrote them.
 *
 * Encoding, little-endian: an item is
 *
 *     u8 type   u8 name length   name   u32 count   payload
 *
 * type is a RECORD_ type, with RECORD_ARRAY set when the value is an array. count is the number of
 * elements, or for TEXT, GROUP and LIST the number of bytes. A GROUP holds items with distinct
 * names; a LIST holds unnamed GROUPs.
 */
#ifndef BASE_RECORD_H
#define BASE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/why.h"

enum record_type {
	RECORD_U8 = 1, /* the first five are MINIVMM_U8 to MINIVMM_BOOL */
	RECORD_U16,
	RECORD_U32,
	RECORD_U64,
	RECORD_BOOL,
	RECORD_TEXT, /* no NUL inside */
	RECORD_GROUP,
	RECORD_LIST,
	RECORD_ARRAY = 0x80, /* flag */
};

#define RECORD_DEPTH 16   /* groups and lists inside each other, at most */
#define RECORD_ITEMS 4096 /* in one group, at most; a list has no limit */
#define RECORD_SEEN 512   /* bits */

/*
 * Writer: appends to a buffer that it owns. Errors (no memory, too deep, too many items, a name
 * that is bad or there already) stick; look once, at the end. What was written without one can be
 * opened.
 */
struct record_writer {
	uint8_t *data;
	size_t length, capacity;
	size_t open[RECORD_DEPTH]; /* offset of each open group or list */
	unsigned depth;
	bool failed, no_memory;                  /* no_memory: that was why */
	struct {                                 /* of the root and of each that is open */
		uint64_t seen[RECORD_SEEN / 64]; /* bits of the names that it has */
		uint32_t items;
	} names[RECORD_DEPTH + 1];
};

/* May an item have this name? 1 to 255 bytes of graphic ASCII without " \\ and =. */
bool record_name(const char *name);

void record_writer_free(struct record_writer *writer);
/* The caller has found an error: as one of the writer's own. */
void record_fail(struct record_writer *writer, bool no_memory);
void record_put(struct record_writer *writer, const char *name, enum record_type type,
		const void *values, size_t count, bool array);
void record_put_u32(struct record_writer *writer, const char *name, uint32_t value);
void record_put_u64(struct record_writer *writer, const char *name, uint64_t value);
void record_put_bool(struct record_writer *writer, const char *name, bool value);
void record_put_text(struct record_writer *writer, const char *name,
		     const char *text); /* NULL: left out */
void record_put_bytes(struct record_writer *writer, const char *name, const void *bytes,
		      size_t length);
/* type RECORD_GROUP or RECORD_LIST; an element of a list is a group whose name is NULL. */
void record_begin(struct record_writer *writer, const char *name, enum record_type type);
void record_end(struct record_writer *writer);

/* A value as it lies in the buffer: plain data, borrowed, valid as long as the buffer. The payload
 * is unaligned: use record_copy. */
struct record {
	uint8_t type; /* without RECORD_ARRAY */
	bool array;
	uint8_t name_length;
	const char *name; /* not terminated */
	uint32_t count;   /* elements; bytes of TEXT, GROUP, LIST */
	const uint8_t *data;
};

/* Adds an item of a buffer that has passed record_open, with all that is in it. */
void record_put_item(struct record_writer *writer, const struct record *item);

/*
 * Checks a whole buffer, once: sizes, types, depth, names, distinct names in a group. After it all
 * that follows is safe to call on any part. Fills root with an unnamed group. Returns 0, or -1 with
 * the reason in why.
 */
int record_open(const void *data, size_t length, struct record *root, struct why *why);

/* Steps through the items of a group or list: start with *position = 0; false at the end. */
bool record_next(const struct record *parent, size_t *position, struct record *item);
bool record_find(const struct record *group, const char *name, struct record *item);
/* The same, at once where items are asked for in the order in which they lie: looks from *position
 * on, then before it, and leaves it behind what it found. Start with 0, or where record_next is. */
bool record_find_from(const struct record *group, size_t *position, const char *name,
		      struct record *item);
size_t record_elements(const struct record *list); /* of a list: how many groups */
size_t record_width(enum record_type type); /* bytes of one element: 1, 2, 4, 8; 1 for the rest */
bool record_is(const struct record *item, const char *name);

/* Element index as a number; the item is U8 to BOOL and index < count. */
uint64_t record_number(const struct record *item, uint32_t index);
/* Finds a scalar of any numeric type. false: missing or of another kind. */
bool record_get_u64(const struct record *group, const char *name, uint64_t *value);
/* A text, malloced. 0, or -1: missing, of another kind, or no memory. */
int record_copy_text(const struct record *group, const char *name, char **text, struct why *why);
/* Finds an array of bytes; borrowed. */
bool record_get_bytes(const struct record *group, const char *name, const uint8_t **bytes,
		      size_t *length);

/*
 * Prints a tree for people, one value a line ("path.to.value = 0x12", elements of a list as
 * name[0]), long arrays as dump lines in which "*" stands for lines like the one before. prefix: a
 * path to put before, may be "".
 */
void record_print(FILE *out, const struct record *item, const char *prefix);
/* The value as JSON: numbers, hex strings for arrays of bytes. Starts where the line is, which is
 * indented by indent tabs; no newline after it. */
void record_print_json(FILE *out, const struct record *item, int indent);

/*
 * Compares two groups and calls differs(path, a, b) for each item that differs or that only one
 * side has (the other is NULL then). Returns how many.
 */
size_t record_compare(const struct record *a, const struct record *b, const char *prefix,
		      void (*differs)(void *context, const char *path, const struct record *a,
				      const struct record *b),
		      void *context);

#endif
