/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Times new machines from a snapshot to their first exit, against the KVM calls that this takes, by
 * turns in one process.
 *
 *   clone-speed SNAPSHOT STATE ROUNDS [KEY=VALUE...]
 *
 * Writes the machine's state to STATE, for bare-restore. Prints a line a round: microseconds of
 * ours and of the bare calls, separated by a tab; with 0 rounds it only writes STATE. What ends a
 * machine is not part of it. The machine that STATE is from stays, not running: as in any process
 * that makes clones, the plugins' code is loaded already. The guest's first exit must end it, by
 * port 0xf4.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/bare_dump.h"

static struct bare_state state;
static const volatile bool interrupted = true; /* nobody reads what it says: do not wait */

static double
ours(struct vm *vm, const struct vm_source *source)
{
	double start = microseconds(), taken;
	int r = vm_build(vm, source);

	if (!r)
		r = devices_start(&vm->devices, MINIVMM_RESTORED);
	if (!r)
		r = machine_run(&vm->machine);
	taken = microseconds() - start;
	if (r || vm->machine.end.cause != CAUSE_EXIT)
		errx(1, "the guest of %s did not end by itself", source->restore);
	devices_stop(&vm->devices, &interrupted);
	vm_destroy(vm);
	return taken;
}

static double
bare(const char *snapshot)
{
	double start = microseconds(), taken;
	int fd = open(snapshot, O_RDONLY | O_CLOEXEC);
	struct bare_machine machine;

	if (fd < 0)
		err(1, "%s", snapshot);
	bare_build(&machine, &state, fd, BARE_NONE);
	bare_load(&machine, &state);
	bare_go(&machine, &state);
	bare_run(&machine, 0xf4);
	taken = microseconds() - start;
	bare_destroy(&machine, &state);
	close(fd);
	return taken;
}

static void
dump(struct vm *vm, const struct vm_source *source, const char *path)
{
	FILE *file = fopen(path, "w");

	if (!file || vm_build(vm, source))
		errx(1, "no state of %s", source->restore);
	bare_dump(&state, vm);
	if (!fwrite(&state, sizeof(state), 1, file) || fclose(file))
		err(1, "%s", path);
}

int
main(int argc, char **argv)
{
	struct vm *vm = calloc(1, sizeof(*vm)), *first = calloc(1, sizeof(*first));
	struct vm_source source;
	int rounds;

	if (!vm || !first || argc < 4)
		errx(2, "usage: clone-speed SNAPSHOT STATE ROUNDS [KEY=VALUE...]");
	source = (struct vm_source){ .restore = argv[1],
				     .set = argv + 4,
				     .set_count = (size_t)argc - 4 };
	dump(first, &source, argv[2]);
	rounds = atoi(argv[3]);
	for (int round = rounds ? -2 : 0; round < rounds; round++) {
		double of_ours = ours(vm, &source), of_bare = bare(argv[1]);

		if (round >= 0)
			printf("%.1f\t%.1f\n", of_ours, of_bare);
	}
	vm_destroy(first);
	free(first);
	free(vm);
	return 0;
}
