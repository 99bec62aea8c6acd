/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records when the guest of a VMM and of each process that it forks exits for the first time: a
 * return of KVM_RUN that is no error. Preloaded, it replaces ioctl(2).
 *
 * Each process appends one line to the file FIRSTS_FILE: its number and the time, in nanoseconds of
 * CLOCK_MONOTONIC. Then it takes little of the CPUs, which others are measured on: the vCPU of a
 * forked process sleeps until it is killed, that of the first one sleeps for a millisecond at each
 * exit, or until a signal.
 *
 * setsid(2) also gives the new session the nice value FIRSTS_NICE (autogroup, sched(7)): what is
 * compared has the same priority.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NAP 1000000 /* ns */

/* A preloaded library has no other place for its state. */
static atomic_bool exited;
static bool forked;

static void
begin_again(void)
{
	atomic_store(&exited, false);
	forked = true;
}

__attribute__((constructor)) static void
begin(void)
{
	pthread_atfork(NULL, NULL, begin_again);
}

static void
say(void)
{
	const char *path = getenv("FIRSTS_FILE");
	struct timespec t;
	char line[64];
	int length, file;

	clock_gettime(CLOCK_MONOTONIC, &t);
	length = snprintf(line, sizeof(line), "%d\t%lld\n", getpid(),
			  (long long)t.tv_sec * 1000000000 + t.tv_nsec);
	file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
	if (file < 0 || write(file, line, (size_t)length) != length)
		abort();
	close(file);
}

pid_t
setsid(void)
{
	pid_t session = (pid_t)syscall(SYS_setsid);
	const char *nice = getenv("FIRSTS_NICE");
	int file = nice ? open("/proc/self/autogroup", O_WRONLY | O_CLOEXEC) : -1;

	if (file >= 0) {
		if (write(file, nice, strlen(nice)) < 0)
			abort();
		close(file);
	}
	return session;
}

int
ioctl(int fd, unsigned long request, ...)
{
	const struct timespec nap = { .tv_nsec = NAP };
	va_list arguments;
	void *argument;
	int r;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	r = (int)syscall(SYS_ioctl, fd, request, argument);
	if (request != KVM_RUN || r)
		return r;
	if (!atomic_exchange(&exited, true))
		say();
	while (forked)
		pause();
	nanosleep(&nap, NULL);
	return r;
}
