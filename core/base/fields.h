/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables of fields: rows (struct minivmm_field) describe the members of a structure, and these
 * functions save, load, check and reset them.
 */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/record.h"
#include "base/why.h"
#include "minivmm/plugin.h"

/* Writes each row of the struct at base into the open group. rows ends with a row without name. No
 * two rows have the same name: the caller has checked that. */
void fields_save(const struct minivmm_field *rows, const void *base, struct record_writer *writer);

/* The most bytes that fields_save can append for the struct at base. Reads only its pointers and
 * their counters, which never change. */
size_t fields_size(const struct minivmm_field *rows, const void *base);

/*
 * Returns the first row that a load would refuse, or NULL: an element exceeds its maximum, or there
 * are more elements than fit. Stores the element or the number of elements in *value.
 */
const struct minivmm_field *fields_find_invalid(const struct minivmm_field *rows, const void *base,
						uint64_t *value);

/*
 * Checks whether fields_load can load a group: types, counts and maxima of its items, and that no
 * item is missing or unknown. Reads counters and pointers in the struct at base, and changes
 * nothing. Returns 0, or -1 with the reason in why.
 */
int fields_check(const struct minivmm_field *rows, const void *base, const struct record *group,
		 uint32_t version, struct why *why);

/*
 * Fills the struct at base from a group. All checks (types, counts, maxima) precede the first
 * change. A missing
 * row takes its initial value if the row is newer (since) than version; otherwise the load fails.
 * An item without a row is an error. Returns 0, or -1 with the reason in why.
 */
int fields_load(const struct minivmm_field *rows, void *base, const struct record *group,
		uint32_t version, struct why *why);
/* The same from a group that has other items, too: whether these are known is up to the caller. */
int fields_load_part(const struct minivmm_field *rows, void *base, const struct record *group,
		     uint32_t version, struct why *why);

/*
 * Sets every row to its initial value. The pointer of a MINIVMM_POINTER row must be NULL or point
 * to the row's elements.
 */
void fields_reset(const struct minivmm_field *rows, void *base);

#endif
