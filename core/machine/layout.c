/* SPDX-License-Identifier: BSD-2-Clause */
/* The address map: ranges of memory, and the chips that KVM emulates. */
#include "machine/layout.h"

#include "minivmm/plugin.h"

uint32_t
layout_memory(struct layout_range memory, bool irqchip, bool no_hole, struct layout_range pieces[2])
{
	pieces[0] = memory;
	if (memory.at || !irqchip || memory.size <= LAYOUT_HOLE ||
	    (no_hole && memory.size <= LAYOUT_IOAPIC))
		return 1;
	pieces[0].size = LAYOUT_HOLE;
	pieces[1] = (struct layout_range){ LAYOUT_ABOVE, memory.size - LAYOUT_HOLE };
	return 2;
}

int
layout_check_memory(struct layout_range memory, bool irqchip, bool long_mode, struct why *why)
{
	uint64_t end = memory.at + memory.size;

	if (long_mode && end > LAYOUT_LONG_END)
		return why_set(why, "would end past 512 GiB, the limit in long mode: make it "
				    "smaller, or lower memory_at");
	/* layout_memory splits it around the hole. */
	if (memory.at == 0 && irqchip)
		return 0;
	if (memory.at < LAYOUT_ABOVE && end > LAYOUT_IOAPIC)
		return why_set(why, "would overlap the interrupt controllers, 0xfec00000 to "
				    "0xffffffff: make it smaller, move it with memory_at, or set "
				    "irqchip = on and memory_at = 0, which continues it above "
				    "4 GiB");
	return 0;
}

static const struct layout_chip chips[] = {
	{ MINIVMM_PIO, 0x20, 0x21, "first PIC" },
	{ MINIVMM_PIO, 0x40, 0x43, "PIT" },
	{ MINIVMM_PIO, 0x61, 0x61, "PIT's speaker" },
	{ MINIVMM_PIO, 0xa0, 0xa1, "second PIC" },
	{ MINIVMM_PIO, 0x4d0, 0x4d1, "PICs' edge or level control" },
	{ MINIVMM_MMIO, LAYOUT_IOAPIC, LAYOUT_IOAPIC + PAGE_SIZE - 1, "IOAPIC" },
	{ MINIVMM_MMIO, LAYOUT_LAPIC, LAYOUT_LAPIC + PAGE_SIZE - 1, "LAPIC" },
};

const struct layout_chip *
layout_chip_number(size_t number)
{
	return number < sizeof(chips) / sizeof(*chips) ? &chips[number] : NULL;
}

const struct layout_chip *
layout_chip_at(uint32_t space, uint64_t base, uint64_t length)
{
	for (size_t i = 0; i < sizeof(chips) / sizeof(*chips); i++)
		if (space == chips[i].space && base <= chips[i].last &&
		    (base >= chips[i].first || chips[i].first - base < length))
			return &chips[i];
	return NULL;
}

/*
 * Not COM1 (0x3f8): a guest that writes there wants a [device] with plugin = serial. Not the chips
 * above: without them, a guest that uses one wants irqchip = on.
 */
static const struct {
	uint16_t first, last;
	const char *name;
} pc_ports[] = {
	{ 0x00, 0x0f, "first DMA controller" },
	{ 0x2e, 0x2f, "Super I/O" },
	{ 0x4e, 0x4f, "Super I/O" },
	{ 0x60, 0x64, "keyboard controller" },
	{ 0x70, 0x77, "RTC" },
	{ 0x80, 0x8f, "POST code, DMA pages" },
	{ 0x92, 0x92, "A20 gate" },
	{ 0xb2, 0xb3, "APM" },
	{ 0xc0, 0xdf, "second DMA controller" },
	{ 0xed, 0xed, "I/O delay" },
	{ 0xf0, 0xff, "coprocessor" },
	{ 0x170, 0x177, "second IDE channel" },
	{ 0x1f0, 0x1f7, "first IDE channel" },
	{ 0x278, 0x27f, "LPT2" },
	{ 0x2e8, 0x2ef, "COM4" },
	{ 0x2f8, 0x2ff, "COM2" },
	{ 0x376, 0x376, "second IDE channel" },
	{ 0x378, 0x37f, "LPT1" },
	{ 0x3b0, 0x3df, "VGA" },
	{ 0x3e8, 0x3ef, "COM3" },
	{ 0x3f0, 0x3f7, "floppy controller" },
	{ 0x510, 0x51b, "QEMU's fw_cfg" },
	{ 0xcf8, 0xcff, "PCI configuration" },
	{ 0x5658, 0x5659, "VMware's backdoor" },
};

const char *
layout_pc_port(uint64_t port)
{
	for (size_t i = 0; i < sizeof(pc_ports) / sizeof(*pc_ports); i++)
		if (port >= pc_ports[i].first && port <= pc_ports[i].last)
			return pc_ports[i].name;
	return NULL;
}
