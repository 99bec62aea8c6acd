/* SPDX-License-Identifier: BSD-2-Clause */
/* A record with an item of each type. */
#ifndef TESTS_RECORD_SAMPLE_H
#define TESTS_RECORD_SAMPLE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/record.h"

/* A group with an item of each type. */
static inline void
write_sample(struct record_writer *w)
{
	const uint8_t bytes[] = { 0xba, 0xf8, 0x03 };
	const uint16_t words[] = { 1, 0xffff };

	record_put_u32(w, "small", 7);
	record_put_u64(w, "large", UINT64_MAX);
	record_put_bool(w, "flag", true);
	record_put_text(w, "name", "serial0");
	record_put_text(w, "absent", NULL);
	record_put_bytes(w, "bytes", bytes, sizeof(bytes));
	record_put(w, "words", RECORD_U16, words, 2, true);
	record_put(w, "none", RECORD_U64, NULL, 0, true);
	record_begin(w, "list", RECORD_LIST);
	for (uint32_t i = 0; i < 2; i++) {
		record_begin(w, NULL, RECORD_GROUP);
		record_put_u32(w, "index", i);
		record_begin(w, "inner", RECORD_GROUP);
		record_put_bool(w, "odd", i & 1);
		record_end(w);
		record_end(w);
	}
	record_end(w);
	assert_false(w->failed);
	assert_int_equal(w->depth, 0);
}

#endif
