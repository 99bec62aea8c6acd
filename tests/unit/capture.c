/* SPDX-License-Identifier: BSD-2-Clause */
/* What a snapshot prepares before the stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/log.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "snapshot/capture.h"

/* The host has found a page for all of it. (The first and the last may be shared with others.) */
static void
is_there(const void *room, size_t length)
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
room_is_there(void **state)
{
	struct capture capture = { 0 };

	capture_make_room(&capture);
	is_there(capture.copies, capture.copies_max * PAGE_SIZE);
	free(capture.copies);
}

/* (A sanitizer's does not give at once what it was given back.) */
static void
heap_is_there(void **state)
{
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	void *room;

	capture_make_heap();
	room = malloc(CAPTURE_HEAP / 2);
	is_there(room, CAPTURE_HEAP / 2);
	free(room);
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(room_is_there),
					    cmocka_unit_test(heap_is_there) };

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
