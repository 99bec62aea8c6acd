/* SPDX-License-Identifier: BSD-2-Clause */
/* A device that does nothing, for measuring the core's cost of an access. */
#include <minivmm/plugin.h>

struct null {
	uint8_t unused;
};

static int
null_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	return 0;
}

static int
null_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	return 0;
}

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .flags = MINIVMM_OPTIONAL,
	  .at = "port",
	  .length = 16,
	  .read = null_read,
	  .write = null_write },
	{ .space = MINIVMM_MMIO,
	  .flags = MINIVMM_OPTIONAL,
	  .at = "address",
	  .length = 16,
	  .read = null_read,
	  .write = null_write },
	{ .space = MINIVMM_MMIO, .length = 16, .read = null_read, .write = null_write },
	MINIVMM_END,
};

static const struct minivmm_bar bars[] = {
	{ .type = MINIVMM_BAR_MEMORY32, .number = 0, .range = 2 },
	MINIVMM_END,
};

static const struct minivmm_pci pci[] = {
	{ .slot = "slot",
	  .slot_initial = "none",
	  .vendor = 0x1234,
	  .device = 0x0001,
	  .class_code = 0xff0000,
	  .bars = bars },
	MINIVMM_END,
};

static const struct minivmm_plugin null = {
	.name = "null",
	.summary = "ignores writes, reads as 0",
	.state_version = 1,
	.state_size = sizeof(struct null),
	.ranges = ranges,
	.pci = pci,
};
MINIVMM_REGISTER(null, MINIVMM_HAS_PCI);
