/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lower bound for `minivmm -r`: maps the snapshot's memory and makes the same KVM calls, up to
 * the first exit.
 *
 *   bare-restore STATE SNAPSHOT STATUS
 *
 * clone-speed writes STATE. The guest's first exit must be a write to port 0xf4; then the process
 * ends with STATUS.
 */
#include <stdlib.h>

#include "tools/bare_restore.h"

static struct bare_state state;

int
main(int argc, char **argv)
{
	int from = argc == 4 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	int fd = argc == 4 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	struct bare_machine machine;

	if (fd < 0 || read(from, &state, sizeof(state)) != sizeof(state))
		err(1, "usage: bare-restore STATE SNAPSHOT STATUS");
	bare_build(&machine, &state, fd, BARE_NONE);
	bare_load(&machine, &state);
	bare_resume(&machine, &state);
	bare_run(&machine, 0xf4);
	return atoi(argv[3]);
}
