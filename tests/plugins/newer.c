/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A plugin of a future host: the rows of its options have another member, which has the value
 * NEWER_USES. ABI_NUMBER replaces the number of the ABI.
 */
#include <minivmm/plugin.h>

#ifndef NEWER_USES
#define NEWER_USES 0
#endif
#ifndef ABI_NUMBER
#define ABI_NUMBER MINIVMM_ABI
#endif

struct newer {
	uint16_t step;
	uint8_t sum;
};

struct newer_option {
	struct minivmm_option row;
	uint64_t from_the_future;
};

static const struct newer_option options[] = {
	{ MINIVMM_OPTION(struct newer, step, "3", "the number that a read adds"), 0 },
	{ { .name = "start",
	    .type = MINIVMM_U8,
	    .offset = offsetof(struct newer, sum),
	    .initial = "0x3f",
	    .help = "the initial sum" },
	  NEWER_USES },
	{ MINIVMM_END, 0 },
};

static int
newer_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct newer *n = minivmm_state(dev);

	n->sum = (uint8_t)(n->sum + n->step);
	*value = n->sum;
	return 0;
}

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x10",
	  .length = 1,
	  .read = newer_read },
	MINIVMM_END,
};

static const struct minivmm_plugin newer = {
	.name = "newer",
	.summary = "of a future ABI",
	.state_version = 1,
	.state_size = sizeof(struct newer),
	.options = &options[0].row,
	.ranges = ranges,
};

MINIVMM_EXPORT const struct minivmm_registration minivmm_registration;
const struct minivmm_registration minivmm_registration = {
	.abi = ABI_NUMBER,
	.size = sizeof(struct minivmm_registration),
	.plugin_size = sizeof(struct minivmm_plugin),
	.option_size = sizeof(struct newer_option),
	.range_size = sizeof(struct minivmm_range),
	.plugin = &newer,
};
