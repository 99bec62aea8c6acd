/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mutants: a build with -DMINIVMM_MUTANTS leaves out one piece of saving or restoring, named by the
 * environment variable MINIVMM_MUTANT as KIND:NAME, so that the tests can be shown to notice. Any
 * other build has none of it.
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
