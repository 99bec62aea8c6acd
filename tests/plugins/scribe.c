/* SPDX-License-Identifier: BSD-2-Clause */
/* Writes guest memory from the host: a write of N to its port increments the first byte of page N,
 * counted from base. */
#include <minivmm/plugin.h>

struct scribe {
	uint64_t base; /* option */
};

static int
scribe_write(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t value)
{
	struct scribe *s = minivmm_state(dev);
	uint64_t gpa = s->base + value * 4096;
	uint8_t byte;

	if (minivmm_memory_read(dev, gpa, &byte, 1))
		return minivmm_error(dev, "no memory at 0x%llx", (unsigned long long)gpa), -1;
	byte++;
	return minivmm_memory_write(dev, gpa, &byte, 1);
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct scribe, base, "0", "address of page 0"),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .length = 1,
	  .widths = MINIVMM_W8,
	  .write = scribe_write,
	  .help = "the page to write to" },
	MINIVMM_END,
};

static const struct minivmm_plugin scribe = {
	.name = "scribe",
	.summary = "writes guest memory on demand",
	.state_version = 1,
	.state_size = sizeof(struct scribe),
	.options = options,
	.ranges = ranges,
};
MINIVMM_REGISTER(scribe);
