/*
 * How little a plugin should need: a sketch of the experience to aim at, not code to keep.
 * A one-register MMIO counter: each read returns the number of reads so far; a write sets it; when
 * it reaches "limit" it raises an interrupt line, and a write lowers it. All of its state is one
 * field, which survives a snapshot.
 */
#include <minivmm/plugin.h>

struct counter {
	uint32_t limit;         /* option: 0 means never */
	struct minivmm_irq irq; /* option: may be none */
	uint32_t reads;         /* state */
};

static int
counter_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	struct counter *c = minivmm_state(dev);

	if (++c->reads == c->limit)
		minivmm_irq_raise(dev, &c->irq);
	*value = c->reads;
	return 0;
}

static int
counter_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct counter *c = minivmm_state(dev);

	c->reads = (uint32_t)value;
	minivmm_irq_lower(dev, &c->irq);
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct counter, limit, "0", "raise the interrupt at this count; 0: never"),
	MINIVMM_OPTION(struct counter, irq, "none", "interrupt line"), MINIVMM_END
};

static const struct minivmm_range ranges[] = { { .space = MINIVMM_MMIO,
						 .at = "address",
						 .length = 4,
						 .widths = MINIVMM_W32,
						 .read = counter_read,
						 .write = counter_write,
						 .help = "where the register is" },
					       MINIVMM_END };

static const struct minivmm_field fields[] = { MINIVMM_FIELD(struct counter, reads), MINIVMM_END };

static const struct minivmm_plugin counter = {
	.name = "counter",
	.summary = "counts the reads of one MMIO register",
	.state_version = 1,
	.state_size = sizeof(struct counter),
	.options = options,
	.ranges = ranges,
	.fields = fields,
};
MINIVMM_REGISTER(counter);
