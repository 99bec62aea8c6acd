/* SPDX-License-Identifier: BSD-2-Clause */
/* The descriptors of a process that fork(2) has made. */
#ifndef BASE_DESCRIPTOR_H
#define BASE_DESCRIPTOR_H

#include <stddef.h>

/*
 * Closes all descriptors but stdin, stdout, stderr and those that are kept: the peer of one that
 * the parent closes must see that at once, not when this process ends. Sorts kept. The process has
 * one thread.
 */
void descriptors_close_others(int *kept, size_t count);

#endif
