/* SPDX-License-Identifier: BSD-2-Clause */
/* Delays the main thread after each unlock of a mutex, so that other threads run first. */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NAP 5000 /* us */

int
pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	static int (*next)(pthread_mutex_t *);
	int r;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
	r = next(mutex);
	if (syscall(SYS_gettid) == getpid())
		usleep(NAP);
	return r;
}
