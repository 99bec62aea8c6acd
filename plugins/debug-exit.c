/* SPDX-License-Identifier: BSD-2-Clause */
/* A write to one of these ports ends the machine. The value written is the guest's exit status. */
#include <minivmm/plugin.h>

enum convention { PLAIN, ISA };

struct debug_exit {
	uint32_t convention; /* option */
};

static int
debug_exit_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	const struct debug_exit *d = minivmm_state(dev);

	minivmm_exit(dev, d->convention == ISA ? (value << 1) | 1 : value);
	return 0;
}

static const char *const conventions[] = { "plain", "isa", NULL };

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(
	    ENUM, struct debug_exit, convention, "plain",
	    "exit status after a write of N: plain, N; isa, (N << 1) | 1, as QEMU's isa-debug-exit",
	    .values = conventions),
	MINIVMM_END
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0xf4",
	  .length = 4,
	  .write = debug_exit_write,
	  .help = "first of the four ports" },
	MINIVMM_END,
};

static const struct minivmm_plugin debug_exit = {
	.name = "debug-exit",
	.summary = "ends the machine with the status that the guest writes",
	.state_version = 1,
	.state_size = sizeof(struct debug_exit),
	.options = options,
	.ranges = ranges,
};
MINIVMM_REGISTER(debug_exit);
