/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PCI device with a bound write behind a BAR, beside BARs of any length and MSI-X: counts the
 * rings that were events and those that were accesses. MEMORY: tries the services of guest memory,
 * and reads which of them have succeeded.
 */
#include <minivmm/plugin.h>
#include <sys/epoll.h>

#define VECTORS 2u

enum bell_register { EVENTS = 0, WRITES = 4, RING = 8, TOTAL = 12, MEMORY = 16, BYTES = 4096 };

struct bell {
	struct minivmm_irq irqs[VECTORS];
	uint64_t length; /* option: of the range of BAR 1 */
	uint32_t events, writes, memory;
};

static int
bell_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	const struct bell *b = minivmm_state(dev);

	*value = a->offset == EVENTS   ? b->events
		 : a->offset == WRITES ? b->writes
		 : a->offset == TOTAL  ? b->events + b->writes
		 : a->offset == MEMORY ? b->memory
				       : 0;
	return 0;
}

/* gpa: of a page. Returns a bit for each service. */
static uint32_t
try_memory(struct minivmm_device *dev, uint64_t gpa)
{
	uint8_t byte = 0;
	uint32_t done = minivmm_memory_read(dev, gpa, &byte, 1) ? 0 : 1;

	done |= minivmm_memory_write(dev, gpa, &byte, 1) ? 0 : 2;
	done |= minivmm_memory_discard(dev, gpa, 4096) ? 0 : 4;
	if (!minivmm_memory_map(dev, gpa, 1))
		return done;
	minivmm_memory_unmap(dev, gpa, 0);
	return done | 8;
}

static int
bell_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct bell *b = minivmm_state(dev);

	b->writes += a->offset == RING && !value;
	if (a->offset == MEMORY)
		b->memory = try_memory(dev, value);
	minivmm_irq_pulse(dev, &b->irqs[0]);
	return 0;
}

static int
rung(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	struct bell *b = minivmm_state(dev);

	b->events++;
	return 0;
}

static int
bell_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	const struct minivmm_bind bind = { .range = 0, .width = 4, .offset = RING };

	return start->reason == MINIVMM_RESET ? 0 : minivmm_bind_write(dev, &bind);
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION_AS(SIZE, struct bell, length, "16", "length of BAR 1"),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_MMIO,
	  .length = BYTES,
	  .widths = MINIVMM_W32,
	  .read = bell_read,
	  .write = bell_write,
	  .help = "the bell" },
	{ .space = MINIVMM_MMIO, .length_option = "length", .help = "memory" },
	MINIVMM_END,
};

static const struct minivmm_watch watches[] = {
	{ .name = "rung", .ready = rung, .help = "the guest has rung" },
	MINIVMM_END,
};

static const struct minivmm_bar bars[] = {
	{ .type = MINIVMM_BAR_MEMORY32, .number = 0, .range = 0 },
	{ .type = MINIVMM_BAR_MEMORY64, .number = 1, .range = 1 },
	MINIVMM_END,
};

static const struct minivmm_pci pci[] = {
	{ .slot = "slot",
	  .slot_initial = "next",
	  .vendor = 0x1234,
	  .device = 0xbe11,
	  .class_code = 0xff0000,
	  .bars = bars,
	  .vectors = VECTORS,
	  .vectors_offset = offsetof(struct bell, irqs),
	  .help = "its PCI slot" },
	MINIVMM_END,
};

static const struct minivmm_field fields[] = {
	MINIVMM_FIELD(struct bell, events, .help = "rings that were events"),
	MINIVMM_FIELD(struct bell, writes, .help = "rings that were accesses"),
	MINIVMM_FIELD(struct bell, memory, .help = "services of memory that have succeeded"),
	MINIVMM_END,
};

static const struct minivmm_plugin bell = {
	.name = "bell",
	.summary = "a bound write behind a BAR",
	.state_version = 1,
	.state_size = sizeof(struct bell),
	.options = options,
	.ranges = ranges,
	.watches = watches,
	.pci = pci,
	.fields = fields,
	.start = bell_start,
};
MINIVMM_REGISTER(bell, MINIVMM_HAS_PCI);
