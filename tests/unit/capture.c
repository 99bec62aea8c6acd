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
room_is_there(void **state)
{
	struct capture capture = { 0 };
	unsigned char present[4096] = { 0 };
	uint8_t *first;
	size_t pages;

	capture_make_room(&capture);
	assert_in_range(capture.aside_pages, 2, sizeof(present));
	first =
	    (uint8_t *)(((uintptr_t)capture.aside + PAGE_SIZE - 1) & ~(uintptr_t)(PAGE_SIZE - 1));
	pages = capture.aside_pages - 1;
	assert_int_equal(mincore(first, pages * PAGE_SIZE, present), 0);
	for (size_t i = 0; i < pages; i++)
		assert_true(present[i] & 1);
	free(capture.aside);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(room_is_there) };

	return cmocka_run_group_tests_name("capture", tests, NULL, NULL);
}
