/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records the time at which a VMM first enters its guest, and the descriptor of KVM's statistics of
 * that vCPU. Preloaded, it replaces ioctl(2).
 *
 * At the first KVM_RUN it writes one line to the file ENTRY_FILE: the time, in nanoseconds of
 * CLOCK_MONOTONIC, and the descriptor from KVM_GET_STATS_FD, or -1. The descriptor stays open, so
 * that another process can take it (pidfd_getfd(2)).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A preloaded library has no other place for its state. */
static atomic_flag entered = ATOMIC_FLAG_INIT;
static atomic_bool running; /* tested first: afterwards it is only read */

static void
say(int vcpu)
{
	const char *path = getenv("ENTRY_FILE");
	struct timespec t;
	char line[64];
	int length, file;

	clock_gettime(CLOCK_MONOTONIC, &t);
	length = snprintf(line, sizeof(line), "%lld\t%ld\n",
			  (long long)t.tv_sec * 1000000000 + t.tv_nsec,
			  syscall(SYS_ioctl, vcpu, KVM_GET_STATS_FD, NULL));
	file = path ? open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;
	if (file < 0 || write(file, line, (size_t)length) != length)
		abort();
	close(file);
}

int
ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == KVM_RUN && !atomic_load_explicit(&running, memory_order_relaxed) &&
	    !atomic_flag_test_and_set(&entered)) {
		say(fd);
		atomic_store(&running, true);
	}
	return (int)syscall(SYS_ioctl, fd, request, argument);
}
