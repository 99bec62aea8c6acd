/* SPDX-License-Identifier: BSD-2-Clause */
/* What a machine does when its last vCPU has halted. */
#include "machine/halt.h"
#include "machine/machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int
setup(void **state)
{
	static struct vcpu vcpu;
	static struct machine machine;
	static const struct machine_layout layout = { .image_fd = -1, .check = true };

	memset(&vcpu, 0, sizeof(vcpu));
	assert_int_equal(machine_create(&machine, &layout), 0);
	vcpu.halted = true;
	machine.vcpus = &vcpu;
	*state = &machine;
	return 0;
}

static int
teardown(void **state)
{
	struct machine *machine = *state;

	machine->vcpus = NULL;
	machine_destroy(machine);
	return 0;
}

static void
all_halted_ends_the_machine(void **state)
{
	struct machine *machine = *state;

	machine_halted(machine);
	assert_int_equal(machine->end.cause, CAUSE_HLT);
}

static void
all_halted_hits_the_condition(void **state)
{
	struct machine *machine = *state;

	machine->stop.kind = STOP_HLT;
	machine_halted(machine);
	assert_true(machine->stop_hit);
	assert_int_equal(machine->end.cause, CAUSE_NONE);
}

/* Another thread has seen the halt as well. */
static void
a_hit_condition_comes_before_the_end(void **state)
{
	struct machine *machine = *state;

	machine->stop.kind = STOP_HLT;
	machine_halted(machine);
	machine_halted(machine);
	assert_int_equal(machine->end.cause, CAUSE_NONE);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(all_halted_ends_the_machine, setup, teardown),
		cmocka_unit_test_setup_teardown(all_halted_hits_the_condition, setup, teardown),
		cmocka_unit_test_setup_teardown(a_hit_condition_comes_before_the_end, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
