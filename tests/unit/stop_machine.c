/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of a machine that devices use cost while it stands: timers, posts, PCI functions.
 * Compiled as stop_cost.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "pci/complex_parts.h" /* before cmocka, which has a macro fail */

#include <cmocka.h>

#include "stop_cost.h"

static unsigned timer_calls; /* of the kernel */

int
timerfd_settime(int fd, int flags, const struct itimerspec *to, struct itimerspec *old)
{
	timer_calls++;
	return (int)syscall(SYS_timerfd_settime, fd, flags, to, old);
}

/* Devices set and cancel timers when they pause and resume, while the loop is not quiet. */
static uint64_t
change_timers(uint32_t number)
{
	struct loop_timer *timers = calloc(number, sizeof(*timers));
	struct vm_clock clock = { 0 };
	struct loop loop;
	uint64_t before;

	assert_non_null(timers);
	assert_int_equal(loop_init(&loop, &clock), 0);
	loop_quiet(&loop, false);
	for (uint32_t i = 0; i < number; i++)
		loop_timer_add(&loop, &timers[i]);
	timer_calls = 0;
	before = blocks;
	for (uint32_t i = 0; i < number; i++)
		loop_timer_set(&loop, &timers[i], (uint64_t)(number - i) << 40, 0);
	for (uint32_t i = 0; i < number; i += 2)
		loop_timer_cancel(&loop, &timers[i]);
	before = blocks - before;
	assert_int_equal(timer_calls, 0);
	assert_int_equal(loop_once(&loop, 0), 0);
	assert_int_equal(timer_calls, 1);
	loop_free(&loop);
	free(timers);
	return before;
}

static void
timers_that_a_device_sets(void **state)
{
	expect_linear(change_timers);
}

static void
run(struct loop_deferred *deferred)
{
	fail();
}

/* A reset cancels the posts of devices, which may be queued in any order. */
static uint64_t
cancel_posts(uint32_t number)
{
	struct loop_deferred *posts = calloc(number, sizeof(*posts));
	struct vm_clock clock = { 0 };
	struct loop loop;
	uint64_t before;

	assert_non_null(posts);
	assert_int_equal(loop_init(&loop, &clock), 0);
	for (uint32_t i = number; i--;) {
		posts[i].run = run;
		loop_defer(&loop, &posts[i]);
	}
	before = blocks;
	for (uint32_t i = 0; i < number; i++)
		loop_deferred_remove(&loop, &posts[i]);
	before = blocks - before;
	loop_quiet(&loop, false);
	assert_int_equal(loop_once(&loop, 0), 0);
	loop_free(&loop);
	free(posts);
	return before;
}

static void
posts_that_a_reset_cancels(void **state)
{
	expect_linear(cancel_posts);
}

/* One BAR and one interrupt vector. */
static void
add_function(struct pci_complex *c, const struct bus_range *range)
{
	static const struct pci_identity identity = { .vendor = 0x1234 };
	static const struct minivmm_pci row;
	struct pci_member *m = &c->members[c->count];

	*m = (struct pci_member){
		.complex = c, .row = &row, .slot = c->count / 8, .number = c->count % 8
	};
	c->count++;
	pci_function_init(&m->function, &identity, &pci_member_hooks, m);
	assert_int_equal(pci_function_region(&m->function, 0, MINIVMM_MMIO, 4096, false, false), 0);
	assert_int_equal(pci_function_msix(&m->function, 1, 0, 0, 0, 2048), 0);
	pci_function_seal(&m->function);
	assert_int_equal(bus_add_unplaced(&c->machine->bus, range, ""), 0);
}

/* Places the BARs of all functions, from first on. */
static void
place(struct pci_complex *c, uint32_t first)
{
	for (uint32_t i = 0; i < c->count; i++) {
		struct pci_function *f = &c->members[i].function;

		pci_function_write(f, PCI_COMMAND, 2, 0);
		pci_function_write(f, PCI_BAR0, 4, first + 4096 * i);
		pci_function_write(f, PCI_COMMAND, 2, PCI_DECODE_MEMORY);
	}
}

/* The cost of a reset after the guest has moved all BARs. It changes no state of devices. */
static uint64_t
load_functions(uint32_t number)
{
	static struct machine machine;
	static const struct minivmm_range row = { .space = MINIVMM_MMIO };
	struct minivmm_device device = { .name = "a" };
	struct pci_complex complex = { .machine = &machine };
	struct record_writer writer = { 0 };
	struct record root;
	struct why why;
	uint64_t before;

	machine = (struct machine){ .vcpu_count = 0 };
	complex.members = calloc(number, sizeof(*complex.members));
	assert_non_null(complex.members);
	for (uint32_t i = 0; i < number; i++)
		add_function(&complex,
			     &(struct bus_range){ .row = &row, .device = &device, .length = 4096 });
	assert_int_equal(bus_seal(&machine.bus), 0);
	for (uint32_t i = 0; i < number; i++)
		complex.members[i].ranges[0] = &machine.bus.mmio.ranges[i];
	place(&complex, 0x10000000);
	pci_complex_save(&complex, &writer);
	assert_false(writer.failed);
	assert_in_range(writer.length, 1, pci_complex_state_size(&complex));
	place(&complex, 0x20000000);
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	assert_int_equal(pci_complex_valid(&complex, &root, &why), 0);
	before = blocks;
	pci_complex_load(&complex, &root);
	before = blocks - before;
	for (uint32_t i = 0; i < number; i++) {
		uint64_t offset;

		assert_ptr_equal(
		    bus_find(&machine.bus, MINIVMM_MMIO, 0x10000004 + 4096 * i, 4, &offset),
		    complex.members[i].ranges[0]);
		pci_function_free(&complex.members[i].function);
	}
	free(complex.members);
	record_writer_free(&writer);
	bus_free(&machine.bus);
	return before;
}

static void
functions_whose_bars_have_moved(void **state)
{
	expect_linear(load_functions);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_that_a_device_sets),
		cmocka_unit_test(posts_that_a_reset_cancels),
		cmocka_unit_test(functions_whose_bars_have_moved),
	};

	return cmocka_run_group_tests_name("stop_machine", tests, NULL, NULL);
}
