/* SPDX-License-Identifier: BSD-2-Clause */
/* Remedies for a file that cannot be opened. */
#ifndef BASE_NEARBY_H
#define BASE_NEARBY_H

#include "base/text.h"

/*
 * Returns the end of a message about a file that cannot be opened. If it does not exist: the most
 * similar name in its directory, or else the advice otherwise, such as "; check the name".
 */
struct hint nearby(const char *path, int error, const char *otherwise);

#endif
