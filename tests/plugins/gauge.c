/* SPDX-License-Identifier: BSD-2-Clause */
/* A plugin with two state versions; version 2 has another field, peak. Writes to its ports set
 * level and peak. */
#include <minivmm/plugin.h>

#ifndef GAUGE_VERSION
#define GAUGE_VERSION 1
#endif

struct gauge {
	uint8_t level, peak;
};

static int
gauge_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct gauge *g = minivmm_state(dev);

	*value = a->offset ? g->peak : g->level;
	return 0;
}

static int
gauge_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct gauge *g = minivmm_state(dev);

	g->level = (uint8_t)value;
	if (g->level > g->peak && GAUGE_VERSION > 1)
		g->peak = g->level;
	return 0;
}

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x10",
	  .length = 2,
	  .widths = MINIVMM_W8,
	  .read = gauge_read,
	  .write = gauge_write },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct gauge, level),
#if GAUGE_VERSION > 1
	MINIVMM_FIELD(struct gauge, peak, .since = 2, .initial = '?'),
#endif
	MINIVMM_END,
};

static const struct minivmm_plugin gauge = {
	.name = "gauge",
	.summary = "keeps the last value and the peak",
	.state_version = GAUGE_VERSION,
	.state_size = sizeof(struct gauge),
	.ranges = ranges,
	.fields = fields,
};
MINIVMM_REGISTER(gauge);
