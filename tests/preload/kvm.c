/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Simulates another host's /dev/kvm, by the environment: KVM_OPEN=enoent, eacces or eperm,
 * KVM_MODE=MODE and KVM_GROUP=GID (of the file), KVM_VERSION=N,
 * KVM_LACKS=N (a capability), KVM_FAILS=N (the ioctl with that number in its low byte fails with
 * ENOMEM, or with the errno KVM_ERROR; with KVM_TIMES=M only the first M calls do). At the end, the
 * number of KVM_RUNs that a signal ended is written to KVM_KICKS=FILE. KVM_RESETS=1: as on AMD, the
 * registers are those of a reset when KVM_RUN reports a triple fault.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

/* A preloaded library has no other place for its state. */
static atomic_long kicks, failed;

/* The number in a variable; -1 if it is not set. */
static long
number(const char *name)
{
	const char *value = getenv(name);

	return value ? strtol(value, NULL, 0) : -1;
}

static int
open_as(const char *symbol, const char *path, int flags, int mode)
{
	int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, symbol);
	const char *how = getenv("KVM_OPEN");

	if (how && !strcmp(path, "/dev/kvm")) {
		errno = !strcmp(how, "enoent") ? ENOENT : !strcmp(how, "eperm") ? EPERM : EACCES;
		return -1;
	}
	return real(path, flags, mode);
}

__attribute__((visibility("default"))) int
stat(const char *restrict path, struct stat *restrict st)
{
	int (*real)(const char *, struct stat *) = dlsym(RTLD_NEXT, "stat");
	const char *mode = getenv("KVM_MODE"), *group = getenv("KVM_GROUP");
	int r = real(path, st);

	if (!r && mode && !strcmp(path, "/dev/kvm"))
		st->st_mode = (st->st_mode & ~0777u) | (mode_t)strtoul(mode, NULL, 8);
	if (!r && group && !strcmp(path, "/dev/kvm"))
		st->st_gid = (gid_t)strtoul(group, NULL, 10);
	return r;
}

#define OPEN(name)                                                                                 \
	__attribute__((visibility("default"))) int name(const char *path, int flags, ...)          \
	{                                                                                          \
		va_list arguments;                                                                 \
		int mode = 0;                                                                      \
                                                                                                   \
		va_start(arguments, flags);                                                        \
		if (flags & (O_CREAT | __O_TMPFILE))                                               \
			mode = va_arg(arguments, int);                                             \
		va_end(arguments);                                                                 \
		return open_as(#name, path, flags, mode);                                          \
	}
OPEN(open)
OPEN(open64)

static void
reset(int fd, int (*real)(int, unsigned long, ...))
{
	struct kvm_run *run = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
	struct kvm_regs regs = { .rip = 0xfff0, .rflags = 2 };
	struct kvm_sregs sregs;

	if (run == MAP_FAILED)
		return;
	if (run->exit_reason == KVM_EXIT_SHUTDOWN && !real(fd, KVM_GET_SREGS, &sregs)) {
		sregs.cr0 = 0x60000010;
		sregs.cr2 = sregs.cr3 = sregs.cr4 = sregs.efer = 0;
		sregs.cs = (struct kvm_segment){ .base = 0xffff0000,
						 .limit = 0xffff,
						 .selector = 0xf000,
						 .type = 0xb,
						 .present = 1,
						 .s = 1 };
		real(fd, KVM_SET_SREGS, &sregs);
		real(fd, KVM_SET_REGS, &regs);
	}
	munmap(run, 4096);
}

__attribute__((visibility("default"))) int
ioctl(int fd, unsigned long request, ...)
{
	int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
	va_list arguments;
	void *argument;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (request == KVM_GET_API_VERSION && number("KVM_VERSION") >= 0)
		return (int)number("KVM_VERSION");
	if (request == KVM_CHECK_EXTENSION && (long)argument == number("KVM_LACKS"))
		return 0;
	if (_IOC_TYPE(request) == KVMIO && (long)_IOC_NR(request) == number("KVM_FAILS") &&
	    (number("KVM_TIMES") < 0 || atomic_fetch_add(&failed, 1) < number("KVM_TIMES"))) {
		errno = number("KVM_ERROR") < 0 ? ENOMEM : (int)number("KVM_ERROR");
		return -1;
	}
	if (request == KVM_RUN) {
		int r = real(fd, request, argument);

		if (r < 0 && errno == EINTR)
			atomic_fetch_add(&kicks, 1);
		if (!r && number("KVM_RESETS") > 0)
			reset(fd, real);
		return r;
	}
	return real(fd, request, argument);
}

__attribute__((destructor)) static void
end(void)
{
	const char *path = getenv("KVM_KICKS");
	FILE *file = path ? fopen(path, "w") : NULL;

	if (!file)
		return;
	fprintf(file, "%ld\n", kicks);
	fclose(file);
}
