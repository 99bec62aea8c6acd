/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory that the guest does not want any more: becomes zeros, and the host's again where
 * that can be. */
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>

#include "machine/memory.h"

static bool
is_zero(const uint8_t *page)
{
	return !*page && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

/* What is zero already stays as it is, a hole of a file for one. */
static void
clear(uint8_t *host, uint64_t length)
{
	for (uint64_t at = 0; at < length; at += PAGE_SIZE)
		if (!is_zero(host + at))
			memset(host + at, 0, PAGE_SIZE);
}

/*
 * The kernel takes anonymous pages back, and gives zeros for them. Those of a file of the memory's
 * own it takes back but for their room, without which the guest's next write might have none. A
 * copy-on-write mapping would show its file again, and can only be cleared.
 */
static void
discard(const struct memory_region *r, uint64_t offset, uint64_t length)
{
	uint8_t *host = r->host + offset;

	if (r->fd < 0 && !madvise(host, length, MADV_DONTNEED))
		return;
	if (r->shared && !fallocate(r->fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
				    (off_t)(r->file_offset + offset), (off_t)length))
		return;
	clear(host, length);
}

int
memory_discard(struct memory *memory, gpa_t gpa, uint64_t length)
{
	if (gpa % PAGE_SIZE || length % PAGE_SIZE || !memory_covers(memory, gpa, length))
		return -1;
	for (uint32_t i = 0; i < memory->count; i++) {
		const struct memory_region *r = &memory->regions[i];
		gpa_t begin = gpa > r->gpa ? gpa : r->gpa;
		gpa_t end = gpa + length < r->gpa + r->size ? gpa + length : r->gpa + r->size;

		if (begin >= end)
			continue;
		discard(r, begin - r->gpa, end - begin);
		memory_mark_written(memory, begin, end - begin);
	}
	return 0;
}
