/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Records the gaps between two exits of a VMM's guest, by the host's clock: from one return of
 * KVM_RUN to the next, an exit both times. A return with an error (EINTR) is no exit. Preloaded, it
 * replaces ioctl(2). Only one thread may call KVM_RUN.
 *
 * The file GAPS_FILE can be read at any time, numbers of 8 bytes in host order: exits, gaps; then
 * for each gap of at least GAP_MIN its start, its length, and the time in it for which the thread
 * could run but had no CPU, in nanoseconds of CLOCK_MONOTONIC. Gaps that exceed the file's room are
 * only counted.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define GAP_MIN 100000u /* ns: longer than an exit with a page fault */
#define ROOM (1u << 20)

struct gaps {
	uint64_t exits, count;
	struct {
		uint64_t start, length, queued;
	} gaps[ROOM];
};

/* A preloaded library has no other place for its state. */
static struct gaps *gaps;
static uint64_t last;   /* exit; 0: none yet */
static uint64_t queued; /* in all, at the last gap */

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("GAPS_FILE");
	int file = path ? open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600) : -1;

	if (file < 0 || ftruncate(file, sizeof(*gaps)))
		abort();
	gaps =
	    mmap(NULL, sizeof(*gaps), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
	if (gaps == MAP_FAILED)
		abort();
	close(file);
}

/*
 * Nanoseconds that this thread has waited for a CPU (sched-stats.rst); 0 if the kernel has no
 * statistics.
 */
static uint64_t
queue_time(void)
{
	static int file = -1;
	char text[64] = "";
	unsigned long long ran, waited = 0;

	if (file < 0)
		file = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	if (file >= 0 && pread(file, text, sizeof(text) - 1, 0) > 0)
		sscanf(text, "%llu %llu", &ran, &waited);
	return waited;
}

/* A gap's wait is what came since the gap before. Between gaps the thread hardly waits. */
static void
add(uint64_t start, uint64_t length)
{
	uint64_t count = gaps->count, all = queue_time(), wait = all - queued;

	queued = all;
	if (count < ROOM) {
		gaps->gaps[count].start = start;
		gaps->gaps[count].length = length;
		gaps->gaps[count].queued = wait < length ? wait : length;
	}
	__atomic_store_n(&gaps->count, count + 1, __ATOMIC_RELEASE);
}

static void
exited(void)
{
	struct timespec t;
	uint64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
	gaps->exits++;
	if (last && now - last >= GAP_MIN)
		add(last, now - last);
	last = now;
}

int
ioctl(int fd, unsigned long request, ...)
{
	va_list arguments;
	void *argument;
	int r;

	va_start(arguments, request);
	argument = va_arg(arguments, void *);
	va_end(arguments);
	r = (int)syscall(SYS_ioctl, fd, request, argument);
	if (request == KVM_RUN && !r)
		exited();
	return r;
}
