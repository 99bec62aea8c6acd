/* SPDX-License-Identifier: BSD-2-Clause */
/* Delays the main thread after it has woken other threads while it held no mutex. */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAP 1 /* s */

static _Thread_local int held;

int
pthread_mutex_lock(pthread_mutex_t *mutex)
{
	static int (*next)(pthread_mutex_t *);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_mutex_lock");
	held++;
	return next(mutex);
}

int
pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	static int (*next)(pthread_mutex_t *);

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
	held--;
	return next(mutex);
}

int
pthread_cond_broadcast(pthread_cond_t *condition)
{
	static int (*next)(pthread_cond_t *);
	int r;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_cond_broadcast");
	r = next(condition);
	if (!held && syscall(SYS_gettid) == getpid())
		sleep(NAP);
	return r;
}
