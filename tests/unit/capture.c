/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers that a snapshot allocates before the stop are in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/log.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "snapshot/capture.h"

/* All whole pages of the buffer are present. */
static void
expect_present(const void *room, size_t length)
{
	unsigned char present[4096] = { 0 };
	uintptr_t first = ((uintptr_t)room + PAGE_SIZE - 1) & ~(uintptr_t)(PAGE_SIZE - 1);
	size_t pages = length / PAGE_SIZE - 1;

	assert_in_range(pages, 1, sizeof(present));
	assert_int_equal(mincore((void *)first, pages * PAGE_SIZE, present), 0);
	for (size_t i = 0; i < pages; i++)
		assert_true(present[i] & 1);
}

static void
copies_are_present(void **state)
{
	struct capture capture = { 0 };

	capture_make_room(&capture);
	expect_present(capture.copies, capture.copies_max * PAGE_SIZE);
	free(capture.copies);
}

/* The malloc of a sanitizer does not reuse a freed block at once. */
static void
heap_is_present(void **state)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	void *room;

	capture_make_heap();
	room = malloc(CAPTURE_HEAP / 2);
	expect_present(room, CAPTURE_HEAP / 2);
	free(room);
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(copies_are_present),
					    cmocka_unit_test(heap_is_present) };

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
