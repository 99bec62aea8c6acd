/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fails one allocation of the program, the one with the number NOMEM, from 1. With NOMEM_COUNT,
 * prints the number of allocations at exit.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static atomic_ulong made;
static unsigned long wanted;

__attribute__((constructor)) static void
begin(void)
{
	const char *number = getenv("NOMEM");

	made = 0;
	wanted = number ? strtoul(number, NULL, 10) : 0;
}

__attribute__((destructor)) static void
tell(void)
{
	unsigned long all = made;

	if (getenv("NOMEM_COUNT"))
		dprintf(2, "%lu allocations\n", all);
}

static int
fails(void)
{
	if (++made != wanted)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	return fails() ? NULL : __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
