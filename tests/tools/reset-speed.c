/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Times resets with the run that follows, and loops of the same KVM calls and copies, alternately
 * in one process.
 *
 *   reset-speed SNAPSHOT ROUNDS [KEY=VALUE...]
 *
 * Prints a line per round, separated by tabs: microseconds of minivmm, of the bare loop with the
 * dirty log, of the bare loop with the dirty ring, and of a stop that only reads the state, the
 * lower bound for the stop of a snapshot. The guest's first exit after the snapshot must end it, by
 * port 0xf4.
 */
#include <stdio.h>
#include <stdlib.h>

#include "snapshot/reset.h"
#include "tools/bare_dump.h"

static struct bare_state state;
static const volatile bool interrupted = true;

struct bare {
	struct bare_machine machine;
	enum bare_tracking tracking;
	const uint8_t *image; /* the snapshot's memory */
	uint64_t *log;
	uint64_t copied; /* pages of the last reset */
	uint32_t next;   /* index in the dirty ring */
};

static void
copy_page(struct bare *b, uint64_t page)
{
	memcpy((uint8_t *)b->machine.memory + page * 4096, b->image + page * 4096, 4096);
	b->copied++;
}

static void
reset_by_log(struct bare *b)
{
	struct kvm_dirty_log log = { .dirty_bitmap = b->log };

	BARE_CALL(b->machine.vm, KVM_GET_DIRTY_LOG, &log);
	for (uint64_t i = 0; i < (state.memory_size / 4096 + 63) / 64; i++)
		for (uint64_t word = b->log[i]; word; word &= word - 1)
			copy_page(b, i * 64 + (uint64_t)__builtin_ctzll(word));
}

static void
reset_by_ring(struct bare *b)
{
	const uint32_t mask = BARE_RING / sizeof(struct kvm_dirty_gfn) - 1;
	struct kvm_dirty_gfn *entry;

	while (entry = &b->machine.ring[b->next & mask],
	       __atomic_load_n(&entry->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY) {
		copy_page(b, entry->offset);
		__atomic_store_n(&entry->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
		b->next++;
	}
	if (ioctl(b->machine.vm, KVM_RESET_DIRTY_RINGS, 0) < 0)
		err(1, "KVM_RESET_DIRTY_RINGS");
}

static void
bare_start(struct bare *b, enum bare_tracking tracking, int fd)
{
	*b = (struct bare){ .tracking = tracking };
	b->image =
	    mmap(NULL, state.memory_size, PROT_READ, MAP_SHARED, fd, (off_t)state.memory_offset);
	b->log = calloc(state.memory_size / 4096 / 64 + 1, sizeof(*b->log));
	if (b->image == MAP_FAILED || !b->log)
		err(1, "no memory");
	bare_build(&b->machine, &state, fd, tracking);
	bare_load(&b->machine, &state);
	bare_resume(&b->machine, &state);
	bare_run(&b->machine, 0xf4);
	bare_stop(&b->machine);
}

static double
bare_reset(struct bare *b)
{
	double start = microseconds();

	b->copied = 0;
	if (b->tracking == BARE_LOG)
		reset_by_log(b);
	else
		reset_by_ring(b);
	bare_load(&b->machine, &state);
	bare_resume(&b->machine, &state);
	bare_run(&b->machine, 0xf4);
	bare_stop(&b->machine);
	return microseconds() - start;
}

/* The vCPU is not in KVM_RUN: no signal is needed. */
static double
bare_pause(struct bare *b)
{
	static struct bare_state kept;
	double start = microseconds();

	kept.msrs = state.msrs;
	bare_stop(&b->machine);
	bare_save(&b->machine, &kept);
	bare_resume(&b->machine, &state);
	return microseconds() - start;
}

static double
minivmm_reset(struct vm *vm)
{
	double start = microseconds();

	if (vm_reset(vm) || vm_run(vm) || vm->machine.end.cause != CAUSE_EXIT)
		errx(1, "the guest did not end by port 0xf4");
	return microseconds() - start;
}

int
main(int argc, char **argv)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct bare log, ring;
	int fd;

	if (!vm || argc < 3)
		errx(2, "usage: reset-speed SNAPSHOT ROUNDS [KEY=VALUE...]");
	if (vm_build(vm, &(struct vm_source){ .restore = argv[1],
					      .set = argv + 3,
					      .set_count = (size_t)argc - 3,
					      .again = true }))
		return 1;
	bare_dump(&state, vm);
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", argv[1]);
	if (vm_start(vm) || vm_run(vm))
		return 1;
	bare_start(&log, BARE_LOG, fd);
	bare_start(&ring, BARE_RINGS, fd);
	for (int round = -10; round < atoi(argv[2]); round++) {
		double ours = minivmm_reset(vm), of_log = bare_reset(&log),
		       of_ring = bare_reset(&ring), of_stop = bare_pause(&log);

		if (round >= 0)
			printf("%.1f\t%.1f\t%.1f\t%.1f\n", ours, of_log, of_ring, of_stop);
	}
	if (!log.copied || ring.copied < log.copied) /* a ring may have a page twice */
		errx(1, "the log had %llu pages, the ring %llu", (unsigned long long)log.copied,
		     (unsigned long long)ring.copied);
	devices_stop(&vm->devices, &interrupted);
	vm_destroy(vm);
	return 0;
}
