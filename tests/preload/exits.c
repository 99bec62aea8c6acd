/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Measures each exit of a VMM: the time in user space, from the return of KVM_RUN to its next call,
 * and the whole, from one call to the next. Preloaded, it replaces ioctl(2). Only one thread may
 * call KVM_RUN.
 *
 * At the end it writes lines to the file EXITS_FILE, all in ticks of the TSC:
 *
 *   exit USER WHOLE      one exit, in order; both include the overhead of the measurement
 *   overhead USER WHOLE  that overhead: a call of ioctl(2) that fails at once, many times
 *   tick NANOSECONDS     the length of a tick
 *
 * An exit that ends with an error (EINTR) is not counted, so that reads and writes of a guest that
 * alternates them stay in turn.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#define SAMPLES 65536u
#define CALIBRATION 4096u

/* A preloaded library has no other place for its state. */
static struct {
	uint32_t user, whole;
} exits[SAMPLES];
static uint32_t count;
static uint64_t entered;  /* the TSC at the last call of KVM_RUN */
static uint64_t returned; /* and at its return; 0: none, or an error */

/*
 * The fences order rdtsc after the code before and before the code after, which rdtsc alone does
 * not.
 */
static inline uint64_t
now(void)
{
	uint64_t t;

	_mm_lfence();
	t = __rdtsc();
	_mm_lfence();
	return t;
}

static inline long
call(int fd, unsigned long request, void *argument)
{
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(SYS_ioctl), "D"(fd), "S"(request), "d"(argument)
			 : "rcx", "r11", "memory");
	return r;
}

int
ioctl(int fd, unsigned long request, ...)
{
	uint64_t called = request == KVM_RUN ? now() : 0;
	va_list arguments;
	void *argument;
	long r;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	if (called && returned && count < SAMPLES) {
		exits[count].user = (uint32_t)(called - returned);
		exits[count++].whole = (uint32_t)(called - entered);
	}
	r = call(fd, request, argument);
	if (called) {
		entered = called;
		returned = r < 0 && fd >= 0 ? 0 : now();
	}
	if (r < 0) {
		errno = (int)-r;
		r = -1;
	}
	return (int)r;
}

/* Measures the overhead, with the calls that a VMM makes. */
static void
calibrate(void)
{
	int (*volatile self)(int, unsigned long, ...) = ioctl;

	count = 0;
	returned = 0;
	for (uint32_t i = 0; i < CALIBRATION; i++)
		self(-1, KVM_RUN, NULL);
}

/* Nanoseconds per tick. */
static double
tick(void)
{
	struct timespec from, to;
	uint64_t start, end;
	double ns;

	clock_gettime(CLOCK_MONOTONIC, &from);
	start = now();
	do {
		clock_gettime(CLOCK_MONOTONIC, &to);
		end = now();
		ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
	} while (ns < 2e6);
	return ns / (double)(end - start);
}

__attribute__((constructor)) static void
begin(void)
{
	memset(exits, 1, sizeof(exits)); /* no page fault during a measurement */
}

static void
print(FILE *file, const char *what)
{
	for (uint32_t i = 0; i < count; i++)
		fprintf(file, "%s\t%u\t%u\n", what, exits[i].user, exits[i].whole);
}

__attribute__((destructor)) static void
end(void)
{
	const char *path = getenv("EXITS_FILE");
	FILE *file = path ? fopen(path, "w") : NULL;

	if (!file)
		abort();
	print(file, "exit");
	calibrate();
	print(file, "overhead");
	fprintf(file, "tick\t%.6f\n", tick());
	fclose(file);
}
