/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lower bound for an access: a loop around KVM_RUN with one indirect call per exit, without
 * lookup, lock, counter or checks.
 *
 *   bare-access STATE SNAPSHOT [stdout]
 *
 * clone-speed writes STATE. stdout: the device writes the bytes that it gets to stdout. Ends when
 * the guest halts.
 */
#include <stdbool.h>
#include <stdlib.h>

#include "tools/bare_restore.h"

struct device {
	void (*access)(struct device *device, uint64_t address, uint32_t width, bool write,
		       void *data);
};

static struct bare_state state;

static void
null_access(struct device *device, uint64_t address, uint32_t width, bool write, void *data)
{
	if (!write)
		memset(data, 0, width);
}

static void
print(struct device *device, uint64_t address, uint32_t width, bool write_access, void *data)
{
	if (write_access && write(STDOUT_FILENO, data, width) < 0)
		err(1, "stdout");
}

static void
run(const struct bare_machine *m, struct device *device)
{
	struct kvm_run *run = m->run;

	for (;;) {
		if (ioctl(m->vcpu, KVM_RUN, 0))
			err(1, "KVM_RUN");
		if (run->exit_reason == KVM_EXIT_IO)
			device->access(device, run->io.port, run->io.size,
				       run->io.direction == KVM_EXIT_IO_OUT,
				       (uint8_t *)run + run->io.data_offset);
		else if (run->exit_reason == KVM_EXIT_MMIO)
			device->access(device, run->mmio.phys_addr, run->mmio.len,
				       run->mmio.is_write, run->mmio.data);
		else if (run->exit_reason == KVM_EXIT_HLT)
			return;
		else
			errx(1, "KVM exit %u", run->exit_reason);
	}
}

int
main(int argc, char **argv)
{
	int from = argc >= 3 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	int fd = argc >= 3 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	struct device *volatile device = malloc(sizeof(*device)); /* volatile: no inlining */
	struct bare_machine machine;

	if (fd < 0 || !device || read(from, &state, sizeof(state)) != sizeof(state))
		err(1, "usage: bare-access STATE SNAPSHOT [stdout]");
	device->access = argc > 3 ? print : null_access;
	bare_build(&machine, &state, fd, BARE_NONE);
	bare_load(&machine, &state);
	bare_resume(&machine, &state);
	run(&machine, device);
	return 0;
}
