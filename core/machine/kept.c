/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads guest memory of an earlier time from the process that keeps it. */
#include "machine/kept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limit.h"

#define BATCH 64u /* pages whose entries of the pagemaps are read at once */

/* Documentation/admin-guide/mm/pagemap.rst */
#define FRAME ((1ull << 55) - 1) /* or the place in the swap; 0 without CAP_SYS_ADMIN */
#define TOUCHED (1ull << 63 | 1ull << 62)

void
kept_open(struct kept_memory *kept)
{
	kept->mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	kept->error = errno;
	kept->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
}

void
kept_close(struct kept_memory *kept)
{
	if (kept->mem >= 0)
		close(kept->mem);
	if (kept->pagemap >= 0)
		close(kept->pagemap);
	kept->mem = kept->pagemap = -1;
}

int
kept_read(const struct kept_memory *kept, const void *host, void *to, size_t length,
	  struct why *why)
{
	uintptr_t from = (uintptr_t)host;
	uint8_t *bytes = to;

	if (kept->mem < 0)
		return why_set(why, "/proc/self/mem could not be opened: %s",
			       limit_error(kept->error).text);
	while (length) {
		ssize_t n = pread(kept->mem, bytes, length, (off_t)from);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return why_set(why, "/proc/PID/mem: %s", limit_error(errno).text);
		if (!n)
			return why_set(why, "the process that kept its memory was killed");
		bytes += n;
		from += (size_t)n;
		length -= (size_t)n;
	}
	return 0;
}

int
kept_check(const struct kept_memory *kept, const struct memory *memory, struct why *why)
{
	uint8_t byte;

	return kept_read(kept, memory_region_at(memory, 0)->host, &byte, 1, why);
}

/* What two processes have at the same address: the same page, or neither has touched it. */
static bool
same(uint64_t mine, uint64_t kept)
{
	if (!((mine | kept) & TOUCHED))
		return true;
	return mine & FRAME && !((mine ^ kept) & (FRAME | TOUCHED));
}

static bool
read_entries(int pagemap, const uint8_t *host, uint64_t *entries, size_t count)
{
	size_t size = count * sizeof(*entries);
	uint64_t at = (uintptr_t)host / PAGE_SIZE * sizeof(*entries);

	return pagemap >= 0 && pread(pagemap, entries, size, (off_t)at) == (ssize_t)size;
}

/* Compares the pages of a run, which lies in one region, and begins with page first of the image.
 */
static int
compare(const struct kept_memory *kept, const uint8_t *host, uint64_t first, size_t count,
	uint8_t *buffer, uint64_t *pages, struct why *why)
{
	if (count && kept_read(kept, host, buffer, count * PAGE_SIZE, why))
		return -1;
	for (size_t i = 0; i < count; i++)
		if (memcmp(host + i * PAGE_SIZE, buffer + i * PAGE_SIZE, PAGE_SIZE))
			pages[(first + i) / 64] |= 1ull << (first + i) % 64;
	return 0;
}

/* At most BATCH pages of a region. */
static int
compare_batch(const struct kept_memory *kept, int pagemap, const uint8_t *host, uint64_t first,
	      size_t count, uint8_t *buffer, uint64_t *pages, struct why *why)
{
	uint64_t mine[BATCH], theirs[BATCH];
	bool known = read_entries(pagemap, host, mine, count) &&
		     read_entries(kept->pagemap, host, theirs, count);
	int r = 0;

	for (size_t begin = 0, end; begin < count && !r; begin = end + 1) {
		for (end = begin; end < count && !(known && same(mine[end], theirs[end])); end++)
			;
		r = compare(kept, host + begin * PAGE_SIZE, first + begin, end - begin, buffer,
			    pages, why);
	}
	return r;
}

int
kept_find_changes(const struct kept_memory *kept, const struct memory *memory, uint64_t *pages,
		  struct why *why)
{
	uint8_t *buffer = malloc((size_t)BATCH * PAGE_SIZE);
	int pagemap, r;

	if (!buffer)
		return why_no_memory(why);
	pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	r = kept_check(kept, memory, why);
	for (uint32_t i = 0; i < memory->count && !r; i++) {
		const struct memory_region *region = memory_region_at(memory, i);
		uint64_t count = region->size / PAGE_SIZE, part;

		for (uint64_t at = 0; at < count && !r; at += part) {
			part = count - at < BATCH ? count - at : BATCH;
			r = compare_batch(kept, pagemap, region->host + at * PAGE_SIZE,
					  region->offset / PAGE_SIZE + at, part, buffer, pages,
					  why);
		}
	}
	free(buffer);
	if (pagemap >= 0)
		close(pagemap);
	return r;
}
