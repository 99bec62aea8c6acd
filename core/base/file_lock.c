/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks of files, and their owners. */
#include "base/file_lock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int
file_lock(int fd, bool shared)
{
	int r;

	do
		r = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
	while (r && errno == EINTR);
	if (!r || errno != EWOULDBLOCK)
		return 0;
	errno = EBUSY;
	return -1;
}

void
file_unlock(int fd)
{
	flock(fd, LOCK_UN);
}

const char *
file_lock_process(pid_t pid, char *buffer, size_t size)
{
	if (pid == getpid())
		snprintf(buffer, size, "another device of this machine");
	else if (pid > 0)
		snprintf(buffer, size, "process %d", (int)pid);
	else
		snprintf(buffer, size, "another process");
	return buffer;
}

const char *
file_lock_owner(int fd, char *buffer, size_t size)
{
	FILE *locks = fopen("/proc/locks", "re");
	unsigned long long inode;
	unsigned major, minor;
	int pid, owner = 0;
	char line[256];
	struct stat st;

	if (fstat(fd, &st))
		st.st_ino = 0;
	while (locks && fgets(line, sizeof(line), locks))
		if (sscanf(line, "%*u: FLOCK %*s %*s %d %x:%x:%llu", &pid, &major, &minor,
			   &inode) == 4 &&
		    pid > 0 && inode == st.st_ino && major == major(st.st_dev) &&
		    minor == minor(st.st_dev) &&
		    (!kill(pid, 0) || errno != ESRCH)) /* a child may hold the lock */
			owner = pid;
	if (locks)
		fclose(locks);
	return file_lock_process(owner, buffer, size);
}
