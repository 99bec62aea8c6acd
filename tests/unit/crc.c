/* SPDX-License-Identifier: BSD-2-Clause */
/* CRC-32C: published values; the instruction gives the same as the table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "snapshot/crc.h"
#include "snapshot/format.h"

/* RFC 3720, B.4, and the check value of the Rocksoft model. */
static void
published(void **state)
{
	uint8_t bytes[32];

	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c_table(0, "123456789", 9), 0xe3069283);
	memset(bytes, 0, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), 0x8a9136aa);
	memset(bytes, 0xff, sizeof(bytes));
	assert_int_equal(crc32c(0, bytes, 32), 0x62a8ab43);
	for (uint8_t i = 0; i < 32; i++)
		bytes[i] = i;
	assert_int_equal(crc32c(0, bytes, 32), 0x46dd794e);
	assert_int_equal(crc32c_table(0, bytes, 32), 0x46dd794e);
}

/* Lengths around those where crc32c changes the loop, at every alignment. */
static void
same_as_table(void **state)
{
	static const size_t lengths[] = { 0,     1,     7,     8,     9,     63,    5440,
					  16319, 16320, 16321, 16328, 32639, 32640, 65536 };
	uint8_t *bytes = malloc(65536 + 8);

	assert_non_null(bytes);
	srand(1);
	for (size_t i = 0; i < 65536 + 8; i++)
		bytes[i] = (uint8_t)rand();
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (size_t at = 0; at < 8; at++)
			assert_int_equal(crc32c((uint32_t)i * 77, bytes + at, lengths[i]),
					 crc32c_table((uint32_t)i * 77, bytes + at, lengths[i]));
	free(bytes);
}

static void
in_pieces(void **state)
{
	uint8_t bytes[40000];
	uint32_t whole;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 31 ^ i >> 8);
	whole = crc32c(0, bytes, sizeof(bytes));
	for (size_t cut = 0; cut <= sizeof(bytes); cut += 1111)
		assert_int_equal(crc32c(crc32c(0, bytes, cut), bytes + cut, sizeof(bytes) - cut),
				 whole);
}

/* The checksum 0 means that all bytes are zero. */
static void
sums(void **state)
{
	uint8_t page[PAGE_SIZE] = { 0 };
	uint32_t undo;

	assert_true(snapshot_zero(page, sizeof(page)));
	assert_int_equal(snapshot_sum(page, sizeof(page)), 0);
	for (size_t i = 0; i < sizeof(page); i++) {
		page[i] = 1;
		assert_false(snapshot_zero(page, sizeof(page)));
		assert_int_not_equal(snapshot_sum(page, sizeof(page)), 0);
		page[i] = 0;
	}
	/* A page with data whose CRC-32C is 0: the last 4 bytes cancel the rest. */
	page[0] = 1;
	undo = ~crc32c(0, page, sizeof(page) - 4) ^ 0x641f6454;
	memcpy(page + sizeof(page) - 4, &undo, 4);
	assert_int_equal(crc32c(0, page, sizeof(page)), 0);
	assert_int_equal(snapshot_sum(page, sizeof(page)), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(published),
		cmocka_unit_test(same_as_table),
		cmocka_unit_test(in_pieces),
		cmocka_unit_test(sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
