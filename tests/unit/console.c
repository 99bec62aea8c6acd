/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio console between a driver made by hand and a stream (virtio 1.2, section 5.3). */
#include "../../plugins/virtio-console.c"

#include "unit/fake_virtio.h"

#define BUFFERS_AT 0x20000u /* address of the driver's buffers */

static struct fake fake;

static int
setup(void **state)
{
	driver_create(&fake, &console);
	assert_int_equal(console.configure(&fake.device), 0);
	fake_start(&fake, MINIVMM_FRESH);
	driver_begin(&fake, 0, 2);
	return 0;
}

static int
teardown(void **state)
{
	fake_destroy(&fake);
	return 0;
}

static void
expect(const char *bytes, uint32_t length)
{
	assert_int_equal(driver_used(RECEIVE, NULL), length);
	assert_memory_equal(driver.memory + BUFFERS_AT, bytes, length);
}

/* All input reaches the driver, whether its length is that of the buffers, more or less. */
static void
input_that_fills_a_buffer(void **state)
{
	static const uint32_t sizes[] = { 1, 4, PART, 2 * PART };
	static char bytes[2 * PART];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (char)(i * 7 + (i >> 8));
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
		for (uint32_t more = 0; more < 2; more++) {
			uint32_t first = sizes[i] < PART ? sizes[i] : PART;

			fake.in_length = fake.in_taken = 0;
			driver_add(&fake, RECEIVE, BUFFERS_AT, sizes[i], true);
			fake_send(&fake, bytes, first + more);
			expect(bytes, first);
			driver_add(&fake, RECEIVE, BUFFERS_AT, sizes[i], true);
			if (more)
				expect(bytes + first, more);
			else
				assert_int_equal(driver_used(RECEIVE, NULL), -1);
			if (more)
				driver_add(&fake, RECEIVE, BUFFERS_AT, sizes[i], true);
			fake_send(&fake, "x", 1);
			expect("x", 1);
		}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(input_that_fills_a_buffer, setup, teardown),
	};

	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
