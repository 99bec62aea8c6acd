/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI Machine Language, byte by byte: the examples and forms of ACPI 6.5, sections 6.4, 19.3.4 and
 * 20.2.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "boot/aml.h"

/* Expects these bytes, and clears the buffer. */
static void
same(struct aml *aml, const uint8_t *wanted, size_t length)
{
	assert_false(aml->failed);
	assert_int_equal(aml->length, length);
	assert_memory_equal(aml->bytes, wanted, length);
	free(aml->bytes);
	*aml = (struct aml){ 0 };
}
#define BYTES(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

static void
numbers(void **state)
{
	struct aml aml = { 0 };

	aml_integer(&aml, 0);
	aml_integer(&aml, 1);
	aml_integer(&aml, 2);
	aml_integer(&aml, 0x1234);
	aml_integer(&aml, 0x12345678);
	aml_integer(&aml, 0x123456789a);
	same(&aml, BYTES(0x00, 0x01, 0x0a, 2, 0x0b, 0x34, 0x12, 0x0c, 0x78, 0x56, 0x34, 0x12, 0x0e,
			 0x9a, 0x78, 0x56, 0x34, 0x12, 0, 0, 0));
}

static void
ids(void **state)
{
	struct aml aml = { 0 };

	aml_id(&aml, "PNP0501");
	same(&aml, BYTES(0x0c, 0x41, 0xd0, 0x05, 0x01));
	aml_id(&aml, "LNRO0005");
	same(&aml, BYTES(0x0d, 'L', 'N', 'R', 'O', '0', '0', '0', '5', 0));
}

/* A package's length, here in its longest form, includes its own bytes. */
static void
blocks(void **state)
{
	struct aml aml = { 0 };
	size_t begin = aml_begin(&aml, AML_DEVICE);

	aml_segment(&aml, "D000");
	aml_end(&aml, begin);
	same(&aml, BYTES(0x5b, 0x82, 0xc8, 0, 0, 0, 'D', '0', '0', '0'));
}

static void
resources(void **state)
{
	struct aml aml = { 0 };

	aml_resource_ports(&aml, 0x3f8, 8);
	same(&aml, BYTES(0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8));
	aml_resource_ports(&aml, 0, 65536);
	same(&aml, BYTES(0x87, 23, 0, 1, 0x0d, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0,
			 0, 0, 0, 1, 0));
	aml_resource_memory(&aml, 0xd0000000, 0x200);
	same(&aml, BYTES(0x86, 9, 0, 1, 0, 0, 0, 0xd0, 0, 2, 0, 0));
	aml_resource_irq(&aml, 5, false, false, true);
	same(&aml, BYTES(0x89, 6, 0, 9, 1, 5, 0, 0, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(ids),
		cmocka_unit_test(blocks),
		cmocka_unit_test(resources),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
