/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of one device: it is a bus master as long as one of them is. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include "device/device.h"

static void set_master(struct device *device, bool master);

#define device_set_master set_master
#include "../../core/pci/complex_hooks.c"

#include <cmocka.h> /* redefines fail() */

#define FUNCTIONS 2u
#define ROUNDS 200u
#define YIELDS 20u

struct bench {
	struct pci_complex complex;
	struct pci_member members[FUNCTIONS];
	struct machine machine;
	struct device device;
	atomic_uint arrived;
	unsigned wrong;
};

struct driver {
	struct bench *bench;
	uint32_t function;
};

/* A thread that has found the device to be a master lets the other one come first, if it can. */
static void
set_master(struct device *device, bool master)
{
	for (unsigned i = 0; i < YIELDS && master; i++)
		sched_yield();
	atomic_store(&device->masters, master);
}

static int
setup(void **state)
{
	static const struct pci_identity identity = { .vendor = 0x1234 };
	static const struct minivmm_pci row;
	struct bench *b = calloc(1, sizeof(*b));

	*state = b;
	if (!b)
		return -1;
	b->complex.members = b->members;
	b->complex.count = FUNCTIONS;
	b->complex.machine = &b->machine;
	for (uint32_t i = 0; i < FUNCTIONS; i++) {
		b->members[i] = (struct pci_member){
			.complex = &b->complex, .device = &b->device, .row = &row, .number = i
		};
		pci_function_init(&b->members[i].function, &identity, &pci_member_hooks,
				  &b->members[i]);
		pci_function_seal(&b->members[i].function);
	}
	return 0;
}

static int
teardown(void **state)
{
	struct bench *b = *state;

	for (uint32_t i = 0; i < FUNCTIONS; i++)
		pci_function_free(&b->members[i].function);
	free(b);
	return 0;
}

static void
set(struct bench *b, uint32_t function, bool master)
{
	pci_function_write(&b->members[function].function, PCI_COMMAND, 2,
			   master ? PCI_BUS_MASTER : 0);
}

static void
one_is_enough(void **state)
{
	struct bench *b = *state;

	for (uint32_t before = 0; before < 4; before++)
		for (uint32_t after = 0; after < 4; after++) {
			set(b, 0, before & 1);
			set(b, 1, before & 2);
			assert_int_equal(b->device.masters, before != 0);
			set(b, 1, after & 2);
			set(b, 0, after & 1);
			assert_int_equal(b->device.masters, after != 0);
		}
	pci_function_reset(&b->members[0].function);
	assert_true(b->device.masters);
	pci_function_reset(&b->members[1].function);
	assert_false(b->device.masters);
}

/* Waits for the other thread. */
static void
meet(struct bench *b)
{
	unsigned round = atomic_fetch_add(&b->arrived, 1) / FUNCTIONS;

	while (atomic_load(&b->arrived) / FUNCTIONS == round)
		sched_yield();
}

static void *
drive(void *argument)
{
	const struct driver *d = argument;
	struct bench *b = d->bench;

	for (unsigned i = 0; i < ROUNDS; i++) {
		set(b, d->function, true);
		meet(b);
		set(b, d->function, false);
		meet(b);
		if (!d->function)
			b->wrong += b->device.masters;
		meet(b);
	}
	return NULL;
}

/* Two vCPUs turn both off at once. */
static void
two_drivers(void **state)
{
	struct bench *b = *state;
	struct driver drivers[FUNCTIONS] = { { b, 0 }, { b, 1 } };
	pthread_t other;

	assert_int_equal(pthread_create(&other, NULL, drive, &drivers[1]), 0);
	drive(&drivers[0]);
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_int_equal(b->wrong, 0);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = { TEST(one_is_enough), TEST(two_drivers) };

	return cmocka_run_group_tests_name("pci_complex", tests, NULL, NULL);
}
