/* SPDX-License-Identifier: BSD-2-Clause */
/* fdatasync() takes SLOW_SYNC seconds, as for a disk with gigabytes to write. */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

int
fdatasync(int fd)
{
	static int (*next)(int);
	const char *seconds = getenv("SLOW_SYNC");
	unsigned left = seconds ? (unsigned)atoi(seconds) : 0;

	if (!next)
		*(void **)&next = dlsym(RTLD_NEXT, "fdatasync");
	while (left)
		left = sleep(left); /* a signal does not shorten a call that writes */
	return next(fd);
}
