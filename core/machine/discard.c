/* SPDX-License-Identifier: BSD-2-Clause */
/* Discards guest memory that the guest does not need: zeroes it and frees it on the host. */
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

/* Pages that are zero are not written: a hole of a file must stay one. */
static void
clear(uint8_t *host, uint64_t length)
{
	for (uint64_t at = 0; at < length; at += PAGE_SIZE)
		if (!is_zero(host + at))
			memset(host + at, 0, PAGE_SIZE);
}

/*
 * Anonymous memory: MADV_DONTNEED frees the pages; later reads return zeros. A shared file: its
 * range is zeroed but stays allocated, because a guest's write to a full disk ends the machine. A
 * private mapping: MADV_DONTNEED would bring back the file's contents, so it is cleared.
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
