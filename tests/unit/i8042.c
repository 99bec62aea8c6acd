/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The keyboard controller compared with IBM's technical reference, command by command, and the
 * sequences of Linux's driver.
 */
#include "../../plugins/i8042.c"

#include "unit/fake_services.h"

static struct fake fake, restored;

static int
setup(void **state)
{
	fake_create(&fake, &i8042);
	((struct i8042 *)fake.device.state)->aux_irq.handle = 1;
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

static uint8_t
in(uint32_t range)
{
	struct minivmm_access access = { .width = 1, .range = range };
	uint64_t value = 0xbad;

	assert_int_equal(i8042.ranges[range].read(&fake.device, &access, &value), 0);
	assert_in_range(value, 0, 0xff);
	return (uint8_t)value;
}

static void
out(uint32_t range, uint8_t value)
{
	struct minivmm_access access = { .width = 1, .range = range };

	assert_int_equal(i8042.ranges[range].write(&fake.device, &access, value), 0);
}

/* Sends a command that returns one byte. */
static uint8_t
ask(uint8_t command)
{
	uint8_t byte;

	out(COMMAND, command);
	assert_int_equal(in(COMMAND)&OUTPUT_FULL, OUTPUT_FULL);
	byte = in(DATA);
	assert_int_equal(in(COMMAND)&OUTPUT_FULL, 0);
	return byte;
}

static void
tell(uint8_t command, uint8_t byte)
{
	out(COMMAND, command);
	assert_int_equal(in(COMMAND)&OUTPUT_FULL, 0);
	out(DATA, byte);
}

static void
starts_as_a_bios_leaves_it(void **state)
{
	assert_int_equal(in(COMMAND), SYSTEM | WAS_COMMAND | UNLOCKED);
	assert_int_equal(ask(0x20), 0x65);
	assert_false(fake.line);
}

/* i8042_controller_selftest(), i8042_check_aux() and i8042_controller_init() of Linux. */
static void
linux_driver_sequences(void **state)
{
	assert_int_equal(ask(0xaa), 0x55);
	assert_int_equal(ask(0x20), 0x75); /* a test disables both ports */
	tell(0x60, 0x74);
	assert_int_equal(ask(0x20), 0x74);
	tell(0xd3, 0x5a);
	assert_int_equal(in(COMMAND) & (FROM_AUX | OUTPUT_FULL), FROM_AUX | OUTPUT_FULL);
	assert_int_equal(in(DATA), 0x5a);
	assert_int_equal(in(COMMAND)&FROM_AUX, 0);
	assert_int_equal(ask(0xa9), 0);
	assert_int_equal(ask(0xab), 0);
	out(COMMAND, 0xa8);
	assert_int_equal(ask(0x20), 0x54);
	out(COMMAND, 0xa7);
	assert_int_equal(ask(0x20), 0x74);
	out(COMMAND, 0xae);
	assert_int_equal(ask(0x20), 0x64);
	out(COMMAND, 0xad);
	assert_int_equal(ask(0x20), 0x74);
}

static void
no_devices_are_connected(void **state)
{
	tell(0x60, 0x74);
	out(DATA, 0xf2); /* identify keyboard */
	assert_int_equal(in(COMMAND), OUTPUT_FULL | SYSTEM | UNLOCKED | TIMED_OUT);
	assert_int_equal(in(DATA), 0xfe);
	assert_int_equal(in(COMMAND), SYSTEM | UNLOCKED);
	assert_int_equal(ask(0x20), 0x64); /* sending a byte enables the port */
	out(COMMAND, 0xd4);
	out(DATA, 0xf2); /* mouse */
	assert_int_equal(in(COMMAND), OUTPUT_FULL | FROM_AUX | SYSTEM | UNLOCKED | TIMED_OUT);
	assert_int_equal(in(DATA), 0xfe);
	assert_int_equal(ask(0x20), 0x44);
}

static void
the_first_byte_stays(void **state)
{
	tell(0xd2, 'a');
	out(COMMAND, 0xd2);
	out(DATA, 'b');
	assert_int_equal(in(DATA), 'a');
	assert_int_equal(in(COMMAND)&OUTPUT_FULL, 0);
	assert_int_equal(in(DATA), 'a'); /* the buffer keeps the byte read last */
}

static void
memory(void **state)
{
	for (uint8_t i = 1; i < 32; i++)
		tell(0x60 | i, (uint8_t)(0xa0 + i));
	for (uint8_t i = 1; i < 32; i++)
		assert_int_equal(ask(0x20 | i), 0xa0 + i);
	assert_int_equal(ask(0x20), 0x65); /* byte 0 is the command byte */
}

static void
interrupts(void **state)
{
	tell(0xd2, 1);
	assert_true(fake.line);
	assert_int_equal(fake.rises, 1);
	in(DATA);
	assert_false(fake.line);
	tell(0x60, 0x64); /* none */
	tell(0xd2, 1);
	assert_false(fake.line);
	out(COMMAND, 0x60);
	out(DATA, 0x65); /* enabled again: the byte is still there */
	assert_true(fake.line);
	in(DATA);
	assert_false(fake.line);
	tell(0xd3, 2); /* the mouse interrupt is disabled */
	assert_false(fake.lines[1]);
	in(DATA);
	tell(0x60, 0x46);
	tell(0xd3, 2);
	assert_true(fake.lines[1]);
	assert_false(fake.line);
	in(DATA);
	assert_false(fake.lines[1]);
}

static void
output_port(void **state)
{
	assert_int_equal(ask(0xd0), 0xcf);
	tell(0xd1, 0x01); /* A20 low */
	assert_int_equal(ask(0xd0), 0x01);
	tell(0xd2, 0);
	out(COMMAND, 0xd0); /* the output buffer is full */
	in(DATA);
	assert_int_equal(i8042_lines(fake.device.state), 0x01);
	assert_int_equal(ask(0xc0), 0x80);
	assert_int_equal(ask(0xe0), 0);
	assert_false(fake.exited);
}

static void
resets(void **state)
{
	((struct i8042 *)fake.device.state)->reset = 7;
	for (unsigned command = 0xf0; command < 0x100; command++) {
		fake.exited = false;
		out(COMMAND, (uint8_t)command);
		assert_int_equal(fake.exited, !(command & 1));
	}
	assert_int_equal(fake.exit_status, 7);
	fake.exited = false;
	tell(0xd1, 0xce);
	assert_true(fake.exited);
}

/* An unfinished command, and a byte in the buffer. */
static void
survives_a_snapshot(void **state)
{
	uint64_t value = 0;
	struct minivmm_access access = { .width = 1 };

	tell(0xd3, 0x5a);
	out(COMMAND, 0x60 | 5);
	fake_restore(&restored, &fake);
	fake_assert_same(&fake, &restored);
	fake_start(&restored, MINIVMM_RESTORED);
	assert_int_equal(i8042.ranges[DATA].write(&restored.device, &access, 0x99), 0);
	assert_int_equal(((struct i8042 *)restored.device.state)->ram[5], 0x99);
	assert_int_equal(i8042.ranges[DATA].read(&restored.device, &access, &value), 0);
	assert_int_equal(value, 0x5a);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(starts_as_a_bios_leaves_it),
		TEST(linux_driver_sequences),
		TEST(no_devices_are_connected),
		TEST(the_first_byte_stays),
		TEST(memory),
		TEST(interrupts),
		TEST(output_port),
		TEST(resets),
		TEST(survives_a_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
