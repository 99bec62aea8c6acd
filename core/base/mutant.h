/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutants: a build with -DMINIVMM_MUTANTS skips one step of saving or restoring, which the
 * environment variable MINIVMM_MUTANT names as KIND:NAME. The tests must detect each one. Other
 * builds contain no mutants.
 */
#ifndef BASE_MUTANT_H
#define BASE_MUTANT_H

#ifdef MINIVMM_MUTANTS
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static inline bool
mutant(const char *kind, const char *name)
{
	const char *wanted = getenv("MINIVMM_MUTANT");
	size_t length = strlen(kind);

	return wanted && !strncmp(wanted, kind, length) && wanted[length] == ':' &&
	       !strcmp(wanted + length + 1, name);
}
#else
#define mutant(kind, name) false
#endif

#endif
