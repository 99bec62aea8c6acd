/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the state of devices costs while the machine stands: the growth of the basic blocks that are
 * executed. The files of core that the Makefile names are compiled with
 * -fsanitize-coverage=trace-pc for this test, so that the counts do not depend on the machine.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fields.h"
#include "device/device.h" /* before cmocka, which has a macro fail */
#include <cmocka.h>

#include "stop_cost.h"

static char names[MOST][UINT8_MAX + 1];

static void
make_names(size_t length)
{
	for (uint32_t i = 0; i < MOST; i++) {
		int digits = snprintf(names[i], sizeof(names[i]), "a.%u", i);

		memset(names[i] + digits, 'x', length - (size_t)digits);
		names[i][length] = '\0';
	}
}

#define SHORT_NAME 5u
#define LONG_NAME 240u

static uint64_t cost_of_save; /* of the last device or of the last lines */

/* Saves a device and loads it, as a reset does. Returns the cost of the load. */
static uint64_t
cost_of_load(struct device *device, struct minivmm_plugin *descriptor)
{
	static struct machine machine;
	struct config_device config = { .name = (char *)"a" };
	struct devices devices = { .machine = &machine, .list = device, .count = 1 };
	struct bus_gate gate = { .concurrent = true };
	struct record_writer writer = { 0 };
	struct record root;
	struct why why;
	uint64_t before;

	assert_int_equal(loop_init(&machine.loop, &machine.clock), 0);
	for (uint32_t i = 0; i < device->plugin.timer_count; i++)
		loop_timer_add(&machine.loop, &device->timers[i].timer);
	device_services_compose(&devices.services);
	device->host.public.size = sizeof(device->host.public);
	device->host.public.services = &devices.services.functions;
	device->host.table = &devices.services;
	atomic_store(&device->host.phase, SERVICE_PAUSED);
	descriptor->name = "a";
	descriptor->state_version = 1;
	device->plugin.descriptor = *descriptor;
	device->config = &config;
	device->all = &devices;
	device->host.gate = &gate;
	before = blocks;
	assert_int_equal(device_save(device, &writer), 0);
	cost_of_save = blocks - before;
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	before = blocks;
	assert_int_equal(device_load(device, &root, &why), 0);
	before = blocks - before;
	record_writer_free(&writer);
	loop_free(&machine.loop);
	return before;
}

/* Armed, so that the load sets each. */
static uint64_t
load_timers(uint32_t number)
{
	struct minivmm_timer *rows = calloc(number + 1, sizeof(*rows));
	struct device_timer *timers = calloc(number, sizeof(*timers));
	struct device device = { .timers = timers, .plugin.timer_count = number };
	struct minivmm_plugin descriptor = { .timers = rows };
	uint64_t cost;

	assert_true(rows && timers);
	for (uint32_t i = 0; i < number; i++) {
		rows[i].name = names[i];
		timers[i].timer = (struct loop_timer){ .armed = true, .deadline = 1000 + i };
	}
	cost = cost_of_load(&device, &descriptor);
	free(rows);
	free(timers);
	return cost;
}

static void
timers_of_a_device(void **state)
{
	expect_linear(load_timers);
}

struct arrays {
	uint32_t count[MOST], values[MOST];
};

static uint64_t
load_arrays(uint32_t number, bool one_counter)
{
	struct minivmm_field *rows = calloc(number + 1, sizeof(*rows));
	struct arrays arrays = { .count = { 0 } };
	struct device device = { .host.public.state = &arrays };
	struct minivmm_plugin descriptor = { .fields = rows };
	uint64_t cost;

	assert_non_null(rows);
	for (uint32_t i = 0; i < number; i++) {
		uint32_t counter = one_counter ? 0 : i;

		arrays.count[counter] = 1;
		rows[i] = (struct minivmm_field){
			.name = names[i],
			.type = MINIVMM_U32,
			.offset = (uint32_t)offsetof(struct arrays, values) + 4 * i,
			.count = 1,
			.counter_type = MINIVMM_U32,
			.counter_offset = 4 * counter,
		};
	}
	cost = cost_of_load(&device, &descriptor);
	free(rows);
	return cost;
}

static uint64_t
load_own(uint32_t number)
{
	return load_arrays(number, false);
}

static uint64_t
load_shared(uint32_t number)
{
	return load_arrays(number, true);
}

static void
arrays_with_counters(void **state)
{
	expect_linear(load_own);
	expect_linear(load_shared);
}

static int
save(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	return minivmm_save_fields(dev, writer);
}

static int
load(struct minivmm_device *dev, struct minivmm_reader *reader, uint32_t version)
{
	return minivmm_load_fields(dev, reader, version);
}

/* A plugin that has save and load, for more than fields. */
static uint64_t
load_fields(uint32_t number)
{
	struct minivmm_field *rows = calloc(number + 1, sizeof(*rows));
	struct arrays arrays = { .count = { 0 } };
	struct device device = { .host.public.state = &arrays };
	struct minivmm_plugin descriptor = { .fields = rows, .save = save, .load = load };
	uint64_t cost;

	assert_non_null(rows);
	for (uint32_t i = 0; i < number; i++)
		rows[i] = (struct minivmm_field){ .name = names[i],
						  .type = MINIVMM_U32,
						  .offset = 4 * i };
	cost = cost_of_load(&device, &descriptor);
	free(rows);
	return cost;
}

static void
fields_of_a_plugin_with_load(void **state)
{
	expect_linear(load_fields);
}

static int
save_numbers(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	const uint32_t *number = minivmm_state(dev);
	int r = 0;

	for (uint32_t i = 0; i < *number; i++)
		r |= minivmm_put_u64(dev, writer, names[i], i);
	return r;
}

/* In the reverse order of save. */
static int
load_numbers(struct minivmm_device *dev, struct minivmm_reader *reader, uint32_t version)
{
	const uint32_t *number = minivmm_state(dev);
	uint64_t value;
	int r = 0;

	for (uint32_t i = *number; i--;)
		r |= minivmm_get_u64(dev, reader, names[i], &value);
	return r;
}

static uint64_t
load_in_reverse(uint32_t number)
{
	struct device device = { .host.public.state = &number };
	struct minivmm_plugin descriptor = { .save = save_numbers, .load = load_numbers };

	return cost_of_load(&device, &descriptor);
}

static void
load_in_another_order_than_save(void **state)
{
	expect_linear(load_in_reverse);
}

/* The cost of the load of number fields from the state of an earlier version of the plugin, in
 * which every second field is missing, and whose fields have another order. */
static uint64_t
load_earlier(uint32_t number)
{
	struct minivmm_field *rows = calloc(number + 1, sizeof(*rows)),
			     *earlier = calloc(number + 1, sizeof(*earlier));
	struct record_writer writer = { 0 };
	struct arrays arrays;
	struct record root;
	uint64_t before;
	struct why why;

	assert_true(rows && earlier);
	for (uint32_t i = 0; i < number; i++)
		rows[i] = (struct minivmm_field){
			.name = names[i], .type = MINIVMM_U32, .offset = 4 * i, .since = 1 + i % 2
		};
	for (uint32_t i = 0; 2 * i < number; i++)
		earlier[i] = rows[number - 2 - 2 * i];
	fields_reset(rows, &arrays);
	fields_save(earlier, &arrays, &writer);
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	before = blocks;
	assert_int_equal(fields_load(rows, &arrays, &root, 1, &why), 0);
	before = blocks - before;
	record_writer_free(&writer);
	free(rows);
	free(earlier);
	return before;
}

static void
state_of_an_earlier_version(void **state)
{
	expect_linear(load_earlier);
}

static char why_failed;

struct stack {
	struct device *device;
	struct record group;
};

static void *
load_on_stack(void *argument)
{
	struct stack *stack = argument;
	struct why why;

	if (stack->device && device_load(stack->device, &stack->group, &why))
		return &why_failed;
	return NULL;
}

/* Returns the number of bytes of its stack that a thread writes. NULL: it does not load. */
static size_t
written_stack(struct device *device, const struct record *group)
{
	static uint8_t bytes[256 << 10] __attribute__((aligned(4096)));
	struct stack stack = { .device = device, .group = *group };
	pthread_attr_t attributes;
	pthread_t thread;
	size_t count = 0;
	void *failed;

	memset(bytes, 0xa5, sizeof(bytes));
	pthread_attr_init(&attributes);
	assert_int_equal(pthread_attr_setstack(&attributes, bytes, sizeof(bytes)), 0);
	assert_int_equal(pthread_create(&thread, &attributes, load_on_stack, &stack), 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	pthread_attr_destroy(&attributes);
	assert_null(failed);
	for (size_t i = 0; i < sizeof(bytes); i++)
		count += bytes[i] != 0xa5;
	return count;
}

/* A device with few fields does not pay for the groups of those that have load. */
__attribute__((unused)) static void
load_of_few_fields(void **state)
{
	static const struct minivmm_field rows[] = {
		{ .name = "a", .type = MINIVMM_U32, .offset = 0 },
		{ 0 },
	};
	struct arrays arrays = { .count = { 0 } };
	struct device device = { .host.public.state = &arrays };
	struct minivmm_plugin descriptor = { .fields = rows };
	struct record_writer writer = { 0 };
	struct devices devices = { .list = &device, .count = 1 };
	struct config_device config = { .name = (char *)"a" };
	struct bus_gate gate = { .concurrent = true };
	struct record root;

	cost_of_load(&device, &descriptor);
	device.all = &devices;
	device.config = &config;
	device.host.gate = &gate;
	assert_int_equal(device_save(&device, &writer), 0);
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	assert_true(written_stack(&device, &root) < written_stack(NULL, &root) + 2048);
	record_writer_free(&writer);
}

/* All are low, so that no change reaches KVM. */
static uint64_t
load_lines(uint32_t number)
{
	struct record_writer writer = { 0 };
	struct record root;
	struct irqs irqs;
	uint64_t before;

	assert_int_equal(irqs_init(&irqs, NULL), 0);
	for (uint32_t i = 0; i < number; i++)
		assert_true(irqs_add(&irqs, i % IRQ_LINES, false, false, "", names[i]) > 0);
	before = blocks;
	irqs_save(&irqs, &writer);
	cost_of_save = blocks - before;
	assert_int_equal(record_open(writer.data, writer.length, &root, NULL), 0);
	before = blocks;
	irqs_load(&irqs, &root);
	before = blocks - before;
	record_writer_free(&writer);
	irqs_free(&irqs);
	return before;
}

static void
interrupt_lines(void **state)
{
	expect_linear(load_lines);
}

/* The names of tables are looked at when the plugin is loaded, and not in each stop. */
static void
names_of_tables(void **state)
{
	uint64_t (*const costs[])(uint32_t number) = { load_timers, load_own, load_lines };

	for (size_t i = 0; i < sizeof(costs) / sizeof(costs[0]); i++) {
		uint64_t before;

		costs[i](MOST);
		before = cost_of_save;
		make_names(LONG_NAME);
		costs[i](MOST);
		make_names(SHORT_NAME);
		assert_in_range(cost_of_save, before, before + 20);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(timers_of_a_device),
		cmocka_unit_test(arrays_with_counters),
		cmocka_unit_test(fields_of_a_plugin_with_load),
		cmocka_unit_test(load_in_another_order_than_save),
		cmocka_unit_test(state_of_an_earlier_version),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* they use the stack, too */
		cmocka_unit_test(load_of_few_fields),
#endif
		cmocka_unit_test(interrupt_lines),
		cmocka_unit_test(names_of_tables),
	};

	make_names(SHORT_NAME);
	return cmocka_run_group_tests_name("stop_cost", tests, NULL, NULL);
}
