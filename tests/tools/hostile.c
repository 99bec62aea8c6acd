/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random accesses of every width to every range of a config's devices, without a guest. Afterwards
 * pausing, resuming and saving must not change their state, and a snapshot must restore it.
 *
 *   hostile CONFIG COUNT      COUNT accesses to each range; set SEED to repeat a run
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit/seed.h"
#include "vm/vm.h"

#define SNAPSHOT "hostile.snap"

static void
die(const char *message)
{
	printf("FAIL %s\n", message);
	exit(1);
}

static struct vm *
build(const char *config, const char *restore)
{
	struct vm *vm = calloc(1, sizeof(*vm));

	if (!vm || vm_build(vm, &(struct vm_source){
				    .config = config, .restore = restore, .trust = true }))
		die("cannot build the machine");
	if (devices_start(&vm->devices, restore ? MINIVMM_RESTORED : MINIVMM_FRESH))
		die("cannot start the devices");
	return vm;
}

static void
destroy(struct vm *vm)
{
	const volatile bool no_waiting = true;

	devices_stop(&vm->devices, &no_waiting);
	vm_destroy(vm);
	free(vm);
}

/* As machine_resume and machine_pause, but for the vCPUs, which this program replaces. */
static void
resume(struct vm *vm)
{
	clock_start(&vm->machine.clock);
	loop_quiet(&vm->machine.loop, false);
	if (vm->machine.devices.resume(vm->machine.devices.context))
		die("cannot resume the devices");
}

static void
pause_machine(struct vm *vm)
{
	if (vm->machine.devices.pause(vm->machine.devices.context))
		die("cannot pause the devices");
	clock_stop(&vm->machine.clock);
	loop_quiet(&vm->machine.loop, true);
}

/* Returns small positive and negative values and single bits more often than others. */
static uint64_t
random_value(uint64_t *seed)
{
	switch (random_below(seed, 4)) {
	case 0:
		return random_below(seed, 256);
	case 1:
		return 1ull << random_below(seed, 64);
	case 2:
		return -random_below(seed, 4);
	default:
		return random_next(seed);
	}
}

static void
one_access(struct vm *vm, const struct bus_range *range, uint64_t *seed)
{
	uint32_t width = 1 + (uint32_t)random_below(seed, 8);
	/* The whole range and 2 bytes on both sides. */
	uint64_t address = range->base - 2 + random_below(seed, range->length + 4);
	uint8_t data[24];
	uint64_t value = random_value(seed);

	memset(data, 0x5a, sizeof(data));
	memcpy(data + 8, &value, 8);
	bus_access(&vm->machine.bus, range->row->space,
		   range->row->space == MINIVMM_PIO ? address & 0xffff : address,
		   random_below(seed, 2), data + 8, width, 0);
	for (int i = 0; i < 8; i++)
		if (data[i] != 0x5a || data[16 + i] != 0x5a)
			die("an access wrote outside its buffer");
	if (memcmp(data + 8 + width, (uint8_t *)&value + width, 8 - width))
		die("an access wrote more than its width");
}

static void
attack_range(struct vm *vm, const struct bus_range *range, uint64_t count, uint64_t *seed)
{
	for (uint64_t i = 0; i < count; i++) {
		one_access(vm, range, seed);
		if (i % 64 == 0 && loop_once(&vm->machine.loop, 0))
			die("loop_once failed");
	}
}

static uint64_t
attack(struct vm *vm, uint64_t count, uint64_t *seed)
{
	const struct bus_space *spaces[] = { &vm->machine.bus.pio, &vm->machine.bus.mmio };
	uint64_t ranges = 0;

	for (int s = 0; s < 2; s++)
		for (size_t i = 0; i < spaces[s]->count; i++, ranges++)
			attack_range(vm, &spaces[s]->ranges[i], count, seed);
	return ranges;
}

/* Saves the state of all devices and interrupt lines. */
static void
save(struct vm *vm, struct record_writer *writer)
{
	*writer = (struct record_writer){ 0 };
	for (size_t i = 0; i < vm->devices.count; i++) {
		record_begin(writer, vm->devices.list[i].config->name, RECORD_GROUP);
		if (device_save(&vm->devices.list[i], writer))
			die("cannot save a device");
		record_end(writer);
	}
	record_begin(writer, "lines", RECORD_GROUP);
	irqs_save(&vm->machine.irqs, writer);
	record_end(writer);
	if (writer->failed)
		die("the saved state is invalid");
}

static void
differs(void *context, const char *path, const struct record *a, const struct record *b)
{
	printf("# %s\n", path);
}

/* Expects that the state is still the one in before. */
static void
expect_same(struct vm *vm, const struct record_writer *before, const char *message)
{
	struct record_writer now;
	struct record a, b;

	save(vm, &now);
	if (now.length != before->length || memcmp(now.data, before->data, now.length)) {
		if (!record_open(before->data, before->length, &a, NULL) &&
		    !record_open(now.data, now.length, &b, NULL))
			record_compare(&a, &b, "", differs, NULL);
		die(message);
	}
	record_writer_free(&now);
}

int
main(int argc, char **argv)
{
	struct record_writer before;
	struct vm *vm, *restored;
	uint64_t seed, count, ranges;

	if (argc != 3)
		die("use hostile CONFIG COUNT");
	count = strtoull(argv[2], NULL, 0);
	seed = random_seed();
	vm = build(argv[1], NULL);
	resume(vm);
	ranges = attack(vm, count, &seed);

	pause_machine(vm);
	save(vm, &before);
	expect_same(vm, &before, "saving changes the state");
	pause_machine(vm);
	expect_same(vm, &before, "a second pause changes the state");
	if (capture_file(&vm->capture, SNAPSHOT))
		die("cannot write a snapshot");
	expect_same(vm, &before, "a snapshot changes the state");

	restored = build(NULL, SNAPSHOT);
	expect_same(restored, &before, "a restore changes the state");
	unlink(SNAPSHOT);
	resume(restored);
	attack(restored, count / 10, &seed);
	pause_machine(restored);
	destroy(restored);

	/* The saved machine continues, too. */
	resume(vm);
	resume(vm);
	attack(vm, count / 10, &seed);
	pause_machine(vm);
	destroy(vm);
	record_writer_free(&before);
	printf("PASS %llu ranges, %llu accesses each\n", (unsigned long long)ranges,
	       (unsigned long long)count);
	return 0;
}
