/* SPDX-License-Identifier: BSD-2-Clause */
/* Deferred accesses: vCPUs that wait, completions in any order and from any thread, cancellation.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "machine/deferral.h"
#include "minivmm/plugin.h"

#include <cmocka.h>

#define VCPUS 4u
#define ROUNDS 2000u

static const struct minivmm_device one = { .name = "one" }, two = { .name = "two" };
static struct deferrals deferrals;

static int
setup(void **state)
{
	return deferrals_init(&deferrals, VCPUS);
}

static int
teardown(void **state)
{
	deferrals_free(&deferrals);
	deferrals_free(&deferrals); /* has no effect */
	return 0;
}

/* A completion may come before the wait. */
static void
completed_before_the_wait(void **state)
{
	uint64_t id = deferrals_add(&deferrals, 0, &one), value = 0;

	assert_true(id);
	assert_true(deferrals_has(&deferrals, 0, &one));
	assert_false(deferrals_has(&deferrals, 0, &two));
	assert_false(deferrals_has(&deferrals, 1, &one));
	assert_int_equal(deferrals_complete(&deferrals, &two, id, 1), DEFERRAL_UNKNOWN);
	assert_int_equal(deferrals_complete(&deferrals, &one, id + 1, 1), DEFERRAL_UNKNOWN);
	assert_int_equal(deferrals_complete(&deferrals, &one, 0, 1), DEFERRAL_UNKNOWN);
	assert_int_equal(deferrals_complete(&deferrals, &one, id, 7), DEFERRAL_DONE);
	assert_int_equal(deferrals_complete(&deferrals, &one, id, 8), DEFERRAL_UNKNOWN);
	assert_true(deferrals_wait(&deferrals, 0, &value));
	assert_int_equal(value, 7);
	assert_false(deferrals_has(&deferrals, 0, &one));
	assert_int_equal(deferrals_complete(&deferrals, &one, id, 8), DEFERRAL_UNKNOWN);
}

/* An access that its handler has not left pending. */
static void
forgotten(void **state)
{
	uint64_t first = deferrals_add(&deferrals, 0, &one), value = 0;

	assert_int_equal(deferrals_add(&deferrals, 0, &one), 0);
	assert_int_equal(deferrals_complete(&deferrals, &one, first, 1), DEFERRAL_UNKNOWN);
	assert_int_not_equal(deferrals_add(&deferrals, 0, &one), first);
	deferrals_cancel(&deferrals, true);
	assert_false(deferrals_wait(&deferrals, 0, &value));
}

struct vcpu_thread {
	uint32_t index;
	uint64_t sum;
	unsigned cancelled;
};
static _Atomic uint64_t ids[VCPUS]; /* to be completed */

/* Each access has the value 3 * id. */
static void *
vcpu(void *argument)
{
	struct vcpu_thread *v = argument;

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t id = deferrals_add(&deferrals, v->index, &one), value = 0;

		ids[v->index] = id;
		if (deferrals_wait(&deferrals, v->index, &value))
			v->sum += value == 3 * id;
		else
			v->cancelled++;
	}
	ids[v->index] = UINT64_MAX;
	return NULL;
}

static bool
complete_some(uint32_t index)
{
	uint64_t id = atomic_exchange(&ids[index], 0);

	if (id == UINT64_MAX) {
		ids[index] = id;
		return false;
	}
	if (id)
		deferrals_complete(&deferrals, &one, id, 3 * id);
	return true;
}

static void
several_vcpus(void **state)
{
	struct vcpu_thread threads[VCPUS] = { 0 };
	pthread_t ids_of[VCPUS];
	bool more = true;

	for (uint32_t i = 0; i < VCPUS; i++) {
		threads[i].index = i;
		assert_int_equal(pthread_create(&ids_of[i], NULL, vcpu, &threads[i]), 0);
	}
	while (more) {
		more = false;
		for (uint32_t i = VCPUS; i--;)
			more |= complete_some(i);
	}
	for (uint32_t i = 0; i < VCPUS; i++) {
		pthread_join(ids_of[i], NULL);
		assert_int_equal(threads[i].sum, ROUNDS);
	}
}

/* A cancelled access is not completed, and the next one does not get its value. */
static void
cancelled(void **state)
{
	struct vcpu_thread thread = { .index = 0 };
	uint64_t id = deferrals_add(&deferrals, 1, &two), next, value = 0;
	char device[64] = "";
	pthread_t t;

	assert_false(deferrals_lost(&deferrals, device));
	ids[0] = 0;
	assert_int_equal(pthread_create(&t, NULL, vcpu, &thread), 0);
	while (!ids[0])
		usleep(100);
	deferrals_cancel(&deferrals, true);
	pthread_join(t, NULL);
	assert_int_equal(thread.cancelled, ROUNDS);
	assert_false(deferrals_wait(&deferrals, 1, &value));
	assert_true(deferrals_lost(&deferrals, device));
	assert_string_equal(device, "two");
	deferrals_cancel(&deferrals, false);
	assert_true(deferrals_lost(&deferrals, device));
	next = deferrals_add(&deferrals, 1, &two);
	assert_int_equal(deferrals_complete(&deferrals, &two, id, 5), DEFERRAL_LATE);
	assert_int_equal(deferrals_complete(&deferrals, &two, next, 6), DEFERRAL_DONE);
	assert_true(deferrals_wait(&deferrals, 1, &value));
	assert_int_equal(value, 6);
	deferrals_forget(&deferrals);
	assert_false(deferrals_lost(&deferrals, device));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(completed_before_the_wait),
		TEST(forgotten),
		TEST(several_vcpus),
		TEST(cancelled),
	};

	return cmocka_run_group_tests_name("deferral", tests, NULL, NULL);
}
