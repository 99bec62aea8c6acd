/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI card: ports with a number, memory, DMA, messages or an interrupt on command, and an
 * expansion ROM.
 */
#include <minivmm/plugin.h>

#define VECTORS 3u
#define ROM_BYTES 3072u /* the BAR has the next power of 2 */

enum card_port { NUMBER, COMMAND, RESULT, ADDRESS, PORTS = 8 };
enum card_command {
	READ_MEMORY = 1,
	RAISE = 2,
	LOWER = 3,
	RAISE_MESSAGE = 4, /* which is a mistake */
	LOWER_MESSAGE = 5,
	MESSAGE = 0x10
};

struct card {
	struct minivmm_irq irqs[VECTORS], intx;
	uint8_t number, result, resets;
	uint8_t address; /* of DMA, in pages */
};

static int
card_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	const struct card *c = minivmm_state(dev);

	*value = a->offset == NUMBER ? c->number : a->offset == RESULT ? c->result : c->resets;
	return 0;
}

static void
command(struct minivmm_device *dev, uint8_t what)
{
	struct card *c = minivmm_state(dev);

	if (what == READ_MEMORY && minivmm_memory_read(dev, c->address * 4096ull, &c->result, 1))
		c->result = 0xee;
	if (what == RAISE || what == LOWER)
		minivmm_irq_set(dev, &c->intx, what == RAISE);
	if (what == RAISE_MESSAGE || what == LOWER_MESSAGE)
		minivmm_irq_set(dev, &c->irqs[1], what == RAISE_MESSAGE);
	if (what >= MESSAGE && what < MESSAGE + VECTORS)
		minivmm_irq_pulse(dev, &c->irqs[what - MESSAGE]);
}

static int
card_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct card *c = minivmm_state(dev);

	if (a->offset == NUMBER)
		c->number = (uint8_t)value;
	else if (a->offset == ADDRESS)
		c->address = (uint8_t)value;
	else if (a->offset == COMMAND)
		command(dev, (uint8_t)value);
	return 0;
}

/* The PCI header of a ROM, as far as guests look: signature, length in units of 512 bytes. */
static int
rom_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	static const char rom[] = "\x55\xaa\x06\xc3"
				  "read by a callback\n";

	(void)dev;
	*value = 0;
	for (uint32_t i = 0; i < a->width && a->offset + i < sizeof(rom); i++)
		*value |= (uint64_t)(uint8_t)rom[a->offset + i] << (8 * i);
	return 0;
}

static int
card_reset(struct minivmm_device *dev)
{
	struct card *c = minivmm_state(dev);

	c->number = 0;
	c->resets++;
	return 0;
}

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .length = PORTS,
	  .widths = MINIVMM_W8,
	  .read = card_read,
	  .write = card_write,
	  .help = "number, command, result, address" },
	{ .space = MINIVMM_MMIO,
	  .length = 4096,
	  .widths = MINIVMM_W8,
	  .read = card_read,
	  .write = card_write,
	  .help = "the same registers" },
	{ .space = MINIVMM_MMIO, .length = ROM_BYTES, .read = rom_read, .help = "expansion ROM" },
	MINIVMM_END,
};

static const struct minivmm_bar bars[] = {
	{ .type = MINIVMM_BAR_MEMORY32, .number = 0, .range = 1 },
	{ .type = MINIVMM_BAR_PORTS, .number = 1, .range = 0 },
	{ .type = MINIVMM_BAR_ROM, .range = 2 },
	MINIVMM_END,
};

static const struct minivmm_pci pci[] = {
	{ .slot = "slot",
	  .slot_initial = "next",
	  .vendor = 0x1234,
	  .device = 0x5678,
	  .class_code = 0xff0000,
	  .has_intx = true,
	  .bars = bars,
	  .vectors = VECTORS,
	  .vectors_offset = offsetof(struct card, irqs),
	  .intx_offset = offsetof(struct card, intx),
	  .reset = card_reset,
	  .help = "its PCI slot" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct card, number, .help = "that the guest has written"),
	MINIVMM_FIELD(struct card, result, .help = "byte that was read from memory"),
	MINIVMM_FIELD(struct card, resets, .help = "resets of the function"),
	MINIVMM_FIELD(struct card, address, .help = "of DMA, in pages"),
	MINIVMM_END,
};

static const struct minivmm_plugin card = {
	.name = "card",
	.summary = "a PCI card",
	.state_version = 1,
	.state_size = sizeof(struct card),
	.ranges = ranges,
	.pci = pci,
	.fields = fields,
};
MINIVMM_REGISTER(card, MINIVMM_HAS_PCI);
