/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the stop of a branch allocates: prints, at each fork(2) of the program, the number of
 * allocations of 64 KiB or more that the same thread has made since it kicked a vCPU.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LARGE 65536u /* bytes */

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);

static _Thread_local unsigned allocations;
static pid_t program; /* without the processes that it forks */

__attribute__((constructor)) static void
begin(void)
{
	program = getpid();
}

int
pthread_kill(pthread_t thread, int signal)
{
	int (*real)(pthread_t, int) = (int (*)(pthread_t, int))dlsym(RTLD_NEXT, "pthread_kill");

	allocations = 0;
	return real(thread, signal);
}

pid_t
fork(void)
{
	pid_t (*real)(void) = (pid_t(*)(void))dlsym(RTLD_NEXT, "fork");
	unsigned before = allocations;
	pid_t child = real();

	if (child > 0 && getpid() == program)
		dprintf(2, "large allocations in the stop: %u\n", before);
	return child;
}

void *
malloc(size_t size)
{
	allocations += size >= LARGE;
	return __libc_malloc(size);
}

void *
calloc(size_t count, size_t size)
{
	allocations += count * size >= LARGE;
	return __libc_calloc(count, size);
}

void *
realloc(void *old, size_t size)
{
	allocations += size >= LARGE;
	return __libc_realloc(old, size);
}
