/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tables of fields at work: rows (struct minivmm_field) describe the members of a structure,
 * and one engine saves, loads, checks and resets them.
 */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/record.h"
#include "base/why.h"
#include "minivmm/plugin.h"

/* Writes each row of the table (ended by a row without name) of the struct at base into the open
 * group. */
void fields_save(const struct minivmm_field *rows, const void *base, struct record_writer *writer);

/* The first row that a load would refuse, or NULL: an element is above its maximum, or there are
 * more of them than room. *value: the element, or their number. */
const struct minivmm_field *fields_unfit(const struct minivmm_field *rows, const void *base,
					 uint64_t *value);

/*
 * Fills the struct at base from a group, checking everything before it changes anything: types,
 * counts, maxima. A row newer (since) than version takes its initial value when missing; another
 * missing one, and an item that no row names, is an error. Returns 0, or -1 with the reason in why.
 */
int fields_load(const struct minivmm_field *rows, void *base, const struct record *group,
		uint32_t version, struct why *why);

/* Sets every row to its initial value. Rows of kind POINTER must point to their elements, or be
 * NULL. */
void fields_reset(const struct minivmm_field *rows, void *base);

#endif
