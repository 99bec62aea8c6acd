/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes memory to the output of a snapshot, a page as often as it changes. */
#include "snapshot/image.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/limit.h"
#include "base/log.h"
#include "snapshot/crc.h"

_Static_assert(IMAGE_PAGES <= 16, "bits() returns the pages of a chunk");

int
image_init(struct image *image, struct output *output, const struct memory *memory)
{
	size_t words = memory_words(memory) + 1; /* bits() may read one past the end */
	uint8_t *map;

	*image = (struct image){ .output = output, .memory = memory };
	image->mapped = sizeof(struct image_shared) + words * 8 + words * 64 * sizeof(uint32_t);
	map = mmap(NULL, image->mapped, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (map == MAP_FAILED) {
		image->mapped = 0;
		return fail(STATUS_HOST, "cannot write snapshot %s: mmap: %s", output->path,
			    limit_error(errno).text);
	}
	image->shared = (struct image_shared *)map;
	image->data = (uint64_t *)(map + sizeof(struct image_shared));
	image->sums = (uint32_t *)(image->data + words);
	return 0;
}

void
image_free(struct image *image)
{
	if (image->mapped)
		munmap(image->shared, image->mapped);
	*image = (struct image){ 0 };
}

/* Punches a hole where the page had data before. */
static int
write_zero(struct image *image, uint64_t page)
{
	uint64_t bit = 1ull << page % 64;

	if (!(image->data[page / 64] & bit))
		return 0;
	image->data[page / 64] &= ~bit;
	return output_zero(image->output, PAGE_SIZE, SNAPSHOT_MEMORY_OFFSET + page * PAGE_SIZE);
}

/*
 * Checks and sums pages, then writes them while they are in the cache: page first + i, if bit i is
 * set in wanted, has its bytes at bytes + i * PAGE_SIZE. Each run of pages with data is one write.
 */
static int
write_pages(struct image *image, uint64_t first, const uint8_t *bytes, uint64_t wanted)
{
	int failed = 0;

	for (uint64_t left = wanted; left && !failed; left &= left - 1) {
		uint32_t i = (uint32_t)__builtin_ctzll(left);
		uint64_t page = first + i;

		if (snapshot_zero(bytes + i * PAGE_SIZE, PAGE_SIZE)) {
			wanted &= ~(1ull << i);
			failed = write_zero(image, page);
			continue;
		}
		image->sums[page] = crc32c(0, bytes + i * PAGE_SIZE, PAGE_SIZE);
		image->data[page / 64] |= 1ull << page % 64;
	}
	while (wanted && !failed) {
		uint32_t begin = (uint32_t)__builtin_ctzll(wanted);
		uint64_t rest = ~(wanted >> begin);
		uint32_t count = rest ? (uint32_t)__builtin_ctzll(rest) : 64;

		failed = output_write(image->output, bytes + begin * PAGE_SIZE, count * PAGE_SIZE,
				      SNAPSHOT_MEMORY_OFFSET + (first + begin) * PAGE_SIZE);
		atomic_fetch_add_explicit(&image->shared->bytes, count * PAGE_SIZE,
					  memory_order_relaxed);
		wanted &= ~(UINT64_MAX >> (64 - count) << begin);
	}
	return failed;
}

/*
 * In steps of a word of the bitmap, 256 KiB: they fit in the cache between the two passes of
 * write_pages(), and the calls of write(2) are few.
 */
int
image_write(struct image *image, const uint64_t *pages)
{
	int failed = 0;

	for (size_t word = 0; word < memory_words(image->memory) && !failed; word++) {
		struct memory_word part = { .word = word };

		if (!pages[word])
			continue;
		failed = output_check_cancel(image->output);
		/* Before the write: a pipe can hold less than these pages while its reader stalls.
		 */
		atomic_fetch_add_explicit(&image->shared->pages,
					  (uint64_t)__builtin_popcountll(pages[word]),
					  memory_order_relaxed);
		while (!failed && memory_word_next(image->memory, &part))
			failed = write_pages(image, part.first, part.host,
					     pages[word] >> part.first % 64 & part.mask);
	}
	return failed;
}

int
image_write_copy(struct image *image, uint64_t first, const uint8_t *bytes, uint32_t wanted)
{
	return write_pages(image, first, bytes, wanted);
}

/* Returns count bits of a bitmap, at most 16. */
static uint32_t
bits(const uint64_t *pages, uint64_t first, uint32_t count)
{
	uint64_t word = pages[first / 64] >> first % 64;

	if (first % 64 + count > 64)
		word |= pages[first / 64 + 1] << (64 - first % 64);
	return (uint32_t)word & ((1u << count) - 1);
}

size_t
image_sums_size(const struct memory *memory)
{
	size_t chunks = 0;

	for (uint32_t i = 0; i < memory->count; i++)
		chunks += (memory_region_at(memory, i)->size + SNAPSHOT_CHUNK - 1) / SNAPSHOT_CHUNK;
	return chunks * sizeof(uint32_t);
}

/* Combines the checksums of pages to that of the chunk (crc.h). */
static uint32_t
chunk_sum(const struct image *image, const struct crc32c_shift *shift, uint64_t first,
	  uint32_t count)
{
	uint32_t sum = 0;

	if (!bits(image->data, first, count))
		return 0;
	for (uint32_t i = 0; i < count; i++)
		sum = crc32c_shifted(shift, sum) ^
		      (bits(image->data, first + i, 1) ? image->sums[first + i] : shift->zeros);
	return sum ? sum : 1;
}

void
image_sums(const struct image *image, uint8_t *sums)
{
	struct crc32c_shift shift;

	crc32c_shift_init(&shift, PAGE_SIZE);
	for (uint32_t r = 0; r < image->memory->count; r++) {
		uint64_t first = memory_region_at(image->memory, r)->offset / PAGE_SIZE;
		uint64_t count = memory_region_at(image->memory, r)->size / PAGE_SIZE;

		for (uint64_t at = 0; at < count; at += IMAGE_PAGES, sums += sizeof(uint32_t)) {
			uint32_t n =
			    count - at < IMAGE_PAGES ? (uint32_t)(count - at) : IMAGE_PAGES;
			uint32_t sum = chunk_sum(image, &shift, first + at, n);

			memcpy(sums, &sum, sizeof(sum));
		}
	}
}
