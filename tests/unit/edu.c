/* SPDX-License-Identifier: BSD-2-Clause */
/* The thread of the teaching device: factorials across pauses, resets and resets by the guest. */
#include "../../plugins/edu.c"

#include <unistd.h>

#include "unit/fake_services.h"

static struct fake fake;
static atomic_uint pauses; /* that have ended by minivmm_paused() */

static void
paused(struct minivmm_device *dev)
{
	atomic_fetch_add(&pauses, 1);
}

static int
setup(void **state)
{
	fake_create(&fake, &edu);
	fake.services.paused = paused;
	atomic_store(&pauses, 0);
	assert_int_equal(edu.configure(&fake.device), 0);
	fake_start(&fake, MINIVMM_FRESH);
	return 0;
}

static int
teardown(void **state)
{
	edu.destroy(&fake.device);
	fake_destroy(&fake);
	return 0;
}

static void
out(uint64_t offset, uint32_t value)
{
	struct minivmm_access access = { .offset = offset, .width = 4 };

	assert_int_equal(edu.ranges[0].write(&fake.device, &access, value), 0);
}

static uint32_t
in(uint64_t offset)
{
	struct minivmm_access access = { .offset = offset, .width = 4 };
	uint64_t value;

	assert_int_equal(edu.ranges[0].read(&fake.device, &access, &value), 0);
	return (uint32_t)value;
}

/* Waits up to 20 s. */
#define until(condition)                                                                           \
	do {                                                                                       \
		for (int i = 0; i < 20000 && !(condition); i++)                                    \
			usleep(1000);                                                              \
		assert_true(condition);                                                            \
	} while (0)

static void
factorial_of(uint32_t number, uint32_t result)
{
	out(REGISTER_FACTORIAL, number);
	until(!(in(REGISTER_STATUS)&STATUS_COMPUTING));
	assert_int_equal(in(REGISTER_FACTORIAL), result);
}

/* As the core pauses a device: until it has answered, or minivmm_paused() has. */
static void
pause_device(void)
{
	unsigned before = atomic_load(&pauses);
	int r = edu.pause(&fake.device);

	if (r == MINIVMM_PENDING)
		until(atomic_load(&pauses) == before + 1);
	else
		assert_int_equal(r, 0);
	assert_false(((struct edu *)fake.device.state)->busy);
}

static void
pauses_wait_for_the_thread(void **state)
{
	for (int i = 0; i < 1000; i++) {
		out(REGISTER_FACTORIAL, 5);
		pause_device();
		assert_int_equal(in(REGISTER_STATUS), 0);
		assert_int_equal(edu.resume(&fake.device), 0);
		assert_int_equal(in(REGISTER_FACTORIAL), 120);
	}
}

/* The core pauses the device, loads its state, and starts it, without resume. */
static void
work_after_a_reset(void **state)
{
	struct edu *e = fake.device.state;

	factorial_of(4, 24);
	pause_device();
	e->number = 6;
	e->status = STATUS_COMPUTING; /* an older snapshot with work in flight */
	fake_start(&fake, MINIVMM_RESET);
	until(!(in(REGISTER_STATUS)&STATUS_COMPUTING));
	assert_int_equal(in(REGISTER_FACTORIAL), 720);
	factorial_of(4, 24);
}

/* The guest resets the function while the thread has work. */
static void
a_reset_by_the_guest(void **state)
{
	for (int i = 0; i < 1000; i++) {
		out(REGISTER_FACTORIAL, 5);
		assert_int_equal(edu.pci[0].reset(&fake.device), 0);
		assert_int_equal(in(REGISTER_FACTORIAL), 0);
		assert_int_equal(in(REGISTER_STATUS), 0);
		pause_device();
		assert_int_equal(edu.resume(&fake.device), 0);
		assert_int_equal(in(REGISTER_FACTORIAL), 0);
		factorial_of(3, 6);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pauses_wait_for_the_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(work_after_a_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(a_reset_by_the_guest, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
