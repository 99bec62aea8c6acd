/* SPDX-License-Identifier: BSD-2-Clause */
/* A serial port, and the accesses of its driver. */
#ifndef TESTS_SERIAL_BENCH_H
#define TESTS_SERIAL_BENCH_H

#include "../../plugins/serial/fifo.c"
#include "../../plugins/serial/serial.c"

#include "unit/fake_services.h"

static struct fake fake, restored;

static int
setup(void **state)
{
	fake_create(&fake, &serial);
	fake_start(&fake, MINIVMM_FRESH);
	return 0;
}

static int
teardown(void **state)
{
	fake_destroy(&fake);
	fake_destroy(&restored);
	return 0;
}

static inline uint8_t
in(enum serial_register port)
{
	return fake_read(&fake, port);
}

static inline void
out(enum serial_register port, uint8_t value)
{
	fake_write(&fake, port, value);
}

static inline void
assert_output(const char *text)
{
	assert_int_equal(fake.out_length, strlen(text));
	assert_memory_equal(fake.out, text, strlen(text));
}

/*
 * Programs 8N1 with this divisor. Returns the time of four characters: 4 * 10 bits of 16 clocks
 * each.
 */
static inline uint64_t
set_8n1(uint16_t divisor)
{
	out(LCR, 0x83);
	out(DATA, (uint8_t)divisor);
	out(IER, (uint8_t)(divisor >> 8));
	out(LCR, 0x03);
	return 4ull * 10 * 16 * divisor * 1000000000u / 1843200;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
