/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An example of a plugin from outside the tree: a button. A byte on its input presses the button
 * and raises its interrupt line. A read of its port returns the byte and releases the button; then
 * the next byte can press it.
 */
#include <minivmm/plugin.h>

struct button {
	struct minivmm_irq irq; /* option */
	bool down;              /* state */
	uint8_t key;            /* state: the byte */
	uint32_t presses;       /* state */
};

enum { PORT_KEY, PORT_DOWN, PORT_PRESSES };

static void
button_next(struct minivmm_device *dev)
{
	struct button *b = minivmm_state(dev);

	if (b->down || !minivmm_stream_read(dev, 0, &b->key, 1))
		return;
	b->down = true;
	b->presses++;
	minivmm_irq_raise(dev, &b->irq);
}

static int
button_readable(struct minivmm_device *dev, uint32_t stream)
{
	button_next(dev);
	return 0;
}

static int
button_read(struct minivmm_device *dev, const struct minivmm_access *access, uint64_t *value)
{
	struct button *b = minivmm_state(dev);

	switch (access->offset) {
	case PORT_KEY:
		*value = b->key;
		b->down = false;
		b->key = 0;
		minivmm_irq_lower(dev, &b->irq);
		button_next(dev);
		break;
	case PORT_DOWN:
		*value = b->down;
		break;
	case PORT_PRESSES:
		*value = b->presses;
		break;
	}
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct button, irq, "none", "up while the button is down"),
	MINIVMM_END,
};

static const struct minivmm_register registers[] = {
	{ PORT_KEY, "KEY", NULL },
	{ PORT_DOWN, "DOWN", NULL },
	{ PORT_PRESSES, "PRESSES", NULL },
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .length = 3,
	  .widths = MINIVMM_W8,
	  .read = button_read,
	  .registers = registers,
	  .help = "the key, the button's state, the number of presses" },
	MINIVMM_END,
};

static const struct minivmm_stream streams[] = {
	{ .name = "finger",
	  .input = "input",
	  .readable = button_readable,
	  .help = "each byte presses the button" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct button, down),
	MINIVMM_FIELD(struct button, key),
	MINIVMM_FIELD(struct button, presses),
	MINIVMM_END,
};

static const struct minivmm_plugin button = {
	.name = "button",
	.summary = "a button that interrupts when it is pressed",
	.state_version = 1,
	.state_size = sizeof(struct button),
	.options = options,
	.ranges = ranges,
	.streams = streams,
	.fields = fields,
};
MINIVMM_REGISTER(button);
