/* SPDX-License-Identifier: BSD-2-Clause */
/* A snapshot of a few pages, for tests of walks of page tables. Include it after cmocka.h. */
#ifndef UNIT_PAGING_SAMPLE_H
#define UNIT_PAGING_SAMPLE_H

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "snapshot/linear.h"

#define PAGES 16u
#define LMA (1u << 10)
#define PG (1u << 31)
#define PSE (1u << 4)
#define PAE (1u << 5)
#define LA57 (1u << 12)

/* A snapshot of PAGES pages at 0, without sections. */
struct sample {
	struct snapshot snapshot;
	uint8_t *memory;
	uint32_t sum; /* not 0: the memory is read */
};

static inline int
set_up(void **state)
{
	struct sample *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->sum = 1;
	s->snapshot.fd = memfd_create("memory", MFD_CLOEXEC);
	assert_int_equal(ftruncate(s->snapshot.fd, PAGES * PAGE_SIZE), 0);
	s->memory =
	    mmap(NULL, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, s->snapshot.fd, 0);
	assert_ptr_not_equal(s->memory, MAP_FAILED);
	s->snapshot.path = strdup("sample");
	s->snapshot.regions[0].size = PAGES * PAGE_SIZE;
	s->snapshot.region_count = 1;
	s->snapshot.sums = (uint8_t *)&s->sum;
	for (unsigned i = 0; i < PAGES * PAGE_SIZE; i++)
		s->memory[i] = (uint8_t)(i >> 12); /* each page has its number */
	*state = s;
	return 0;
}

static inline int
tear_down(void **state)
{
	struct sample *s = *state;

	munmap(s->memory, PAGES * PAGE_SIZE);
	free(s->snapshot.path);
	close(s->snapshot.fd);
	free(s);
	return 0;
}

static inline void
put(struct sample *s, unsigned page, unsigned index, unsigned width, uint64_t entry)
{
	memcpy(s->memory + page * PAGE_SIZE + index * width, &entry, width);
}

#endif
