/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Times new machines from a snapshot to their first exit, and the same KVM calls alone, alternately
 * in one process.
 *
 *   clone-speed SNAPSHOT STATE ROUNDS [KEY=VALUE...]
 *
 * Writes the machine's state to STATE, for bare-restore. Prints a line per round: microseconds of
 * minivmm and of the bare calls, separated by a tab; with 0 rounds it only writes STATE. The end of
 * a machine is not timed. The machine of STATE stays but does not run: the plugins are loaded, as
 * in any process that makes clones. The guest's first exit must end it, by port 0xf4.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tools/bare_dump.h"

static struct bare_state state;
static const volatile bool interrupted = true; /* devices_stop does not wait for a reader */

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
		errx(1, "the guest of %s did not end by port 0xf4", source->restore);
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
	bare_resume(&machine, &state);
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
		errx(1, "cannot build the machine of %s, or write its state", source->restore);
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
