/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An example device: it counts the reads of its register and the periods of a timer. When the count
 * reaches "limit", it raises its interrupt line. A write sets the count and lowers the line. A
 * snapshot contains the count, the timer and the line.
 */
#include <minivmm/plugin.h>

struct counter {
	uint32_t limit;         /* option; 0: never */
	uint64_t period;        /* option, in ns; 0: no timer */
	struct minivmm_irq irq; /* option; may be none */
	uint32_t count;         /* state */
};

static void
counter_add(struct minivmm_device *dev, uint64_t n)
{
	struct counter *c = minivmm_state(dev);
	uint32_t left = c->limit - c->count; /* modulo 2^32, as the count */

	c->count += (uint32_t)n;
	if (c->limit && left && left <= n)
		minivmm_irq_raise(dev, &c->irq);
}

static int
counter_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct counter *c = minivmm_state(dev);

	counter_add(dev, 1);
	*value = c->count >> (8 * a->offset);
	return 0;
}

static int
counter_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct counter *c = minivmm_state(dev);

	c->count = (uint32_t)value << (8 * a->offset);
	minivmm_irq_lower(dev, &c->irq);
	return 0;
}

static int
counter_tick(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	counter_add(dev, periods);
	return 0;
}

static int
counter_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct counter *c = minivmm_state(dev);

	/* After a restore, the core has set the timer already. */
	if (c->period && start->reason == MINIVMM_FRESH)
		minivmm_timer_set(dev, 0, minivmm_now(dev) + c->period, c->period);
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct counter, limit, "0", "raise the interrupt at this count; 0: never"),
	MINIVMM_OPTION_AS(DURATION, struct counter, period, "0",
			  "also count each period of this length; 0: count only reads"),
	MINIVMM_OPTION(struct counter, irq, "none", "interrupt line"), MINIVMM_END
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_MMIO,
	  .at = "address",
	  .length = 4,
	  .widths = MINIVMM_W16 | MINIVMM_W32,
	  .read = counter_read,
	  .write = counter_write,
	  .help = "address of the register" },
	MINIVMM_END,
};

static const struct minivmm_timer timers[] = {
	{ .name = "tick", .fire = counter_tick, .help = "adds one to the count" }, MINIVMM_END
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct counter, count, .help = "the count"), MINIVMM_END
};

static const struct minivmm_plugin counter = {
	.name = "counter",
	.summary = "counts the reads of an MMIO register and the periods of a timer",
	.state_version = 1,
	.state_size = sizeof(struct counter),
	.options = options,
	.ranges = ranges,
	.timers = timers,
	.fields = fields,
	.start = counter_start,
};
MINIVMM_REGISTER(counter);
