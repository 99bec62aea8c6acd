/* SPDX-License-Identifier: BSD-2-Clause */
/* pthread_cond_broadcast() returns SLOW_WAKE ms later: a thread that wakes may run first. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

int
pthread_cond_broadcast(pthread_cond_t *condition)
{
	static int (*next)(pthread_cond_t *);
	const char *ms = getenv("SLOW_WAKE");
	int r;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_cond_broadcast");
	r = next(condition);
	if (ms)
		usleep(1000 * (useconds_t)atoi(ms));
	return r;
}
