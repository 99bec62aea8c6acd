/* SPDX-License-Identifier: BSD-2-Clause */
/* What the writer and the reader of records share. */
#ifndef BASE_RECORD_FORM_H
#define BASE_RECORD_FORM_H

#include "base/record.h"

static inline bool
record_is_number(uint8_t type)
{
	return type >= RECORD_U8 && type <= RECORD_BOOL;
}

static inline bool
record_is_nest(uint8_t type)
{
	return type == RECORD_GROUP || type == RECORD_LIST;
}

/* Whether the bytes may be part of a name, see record_name. */
bool record_name_valid(const char *name, size_t length);
/*
 * Sets the bit of a name's hash among count bits. Returns whether it was set: then two names may be
 * the same; otherwise they are distinct.
 */
bool record_name_seen(uint64_t *bits, uint32_t count, const char *name, size_t length);

#endif
