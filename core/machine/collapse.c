/* SPDX-License-Identifier: BSD-2-Clause */
/* Puts huge pages together again. */
#include "machine/collapse.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/limit.h"
#include "base/log.h"
#include "machine/memory.h"

#define HUGE (2ul << 20)
#define HUGE_PAGES (HUGE / PAGE_SIZE)
#define STEP (8 * HUGE) /* bytes at most before it looks whether it is to end */

/* Documentation/admin-guide/mm/pagemap.rst */
#define PAGEMAP_PRESENT (1ull << 63)
#define PAGEMAP_FILE (1ull << 61)
#define PAGEMAP_EXCLUSIVE (1ull << 56)

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/*
 * Whether all pages of a part of 2 MiB are there, and are this process's alone. A part with holes
 * stays as it is: a huge page would take more memory.
 */
static bool
is_own(int pagemap, const uint8_t *host)
{
	const uint64_t own = PAGEMAP_PRESENT | PAGEMAP_EXCLUSIVE;
	uint64_t entries[HUGE_PAGES];

	if (pread(pagemap, entries, sizeof(entries),
		  (off_t)((uintptr_t)host / PAGE_SIZE * sizeof(entries[0]))) != sizeof(entries))
		return false;
	for (size_t i = 0; i < HUGE_PAGES; i++)
		if ((entries[i] & (own | PAGEMAP_FILE)) != own)
			return false;
	return true;
}

/* False: this kernel cannot do it. */
static bool
collapse_region(const struct collapse *c, const struct memory_region *region)
{
	uint8_t *end = region->host + region->size / HUGE * HUGE;

	for (uint8_t *at = region->host, *next; at < end && !atomic_load(&c->ends); at = next) {
		for (next = at; next < end && next < at + STEP && is_own(c->fd, next);)
			next += HUGE;
		/* Other errors concern this part, and memory that is short. */
		if (next > at && madvise(at, (size_t)(next - at), MADV_COLLAPSE) && errno == EINVAL)
			return false;
		if (next == at)
			next += HUGE;
	}
	return true;
}

static void *
collapse_main(void *context)
{
	struct collapse *c = context;
	bool can = true;

	for (uint32_t i = 0; i < c->memory->count && can; i++) {
		const struct memory_region *region = memory_region_at(c->memory, i);

		if (region->fd < 0 && (uintptr_t)region->host % HUGE == 0)
			can = collapse_region(c, region);
	}
	return NULL;
}

/* Whether the administrator has turned huge pages off: MADV_COLLAPSE would make them all the same.
 */
static bool
are_off(void)
{
	int fd = file_open("/sys/kernel/mm/transparent_hugepage/enabled", FILE_READ);
	char text[64] = "";
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return n <= 0 || strstr(text, "[never]");
}

void
collapse_start(struct collapse *c, const struct memory *memory)
{
	sigset_t all, before;
	int error;

	collapse_end(c);
	if (are_off())
		return;
	c->fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	if (c->fd < 0)
		return;
	c->memory = memory;
	atomic_store(&c->ends, false);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&c->thread, NULL, collapse_main, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	c->started = !error;
	if (c->started)
		return;
	close(c->fd);
	log_line(MINIVMM_DEBUG, NULL, "no thread to make huge pages: %s",
		 limit_error_of(LIMIT_THREAD, error).text);
}

void
collapse_end(struct collapse *c)
{
	if (!c->started)
		return;
	atomic_store(&c->ends, true);
	pthread_join(c->thread, NULL);
	close(c->fd);
	c->started = false;
}
