/* SPDX-License-Identifier: BSD-2-Clause */
/* Points that can't come, or did not. */
#ifndef VM_POINTS_H
#define VM_POINTS_H

#include "vm/vm.h"

/* Has the machine what the point waits for? where: "--until", or a place in the config. Says it; 0
 * or a negative status. */
int points_check(const struct vm *vm, const char *where, const char *text);
/* Warns of a time that is past when the machine starts: it does not come again. */
void points_warn_past(const struct machine *machine, const char *text);
/* Warns that the machine has ended without the point. saves: a snapshot was to be written there. */
void points_warn_missed(const struct machine *machine, const char *text, bool saves);

#endif
