/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tells the guest that it is another machine than it was: its generation id, 16 bytes in a page of
 * its memory, changes when it is restored, and its kernel is notified, which makes its random
 * numbers others than those of the machine's copies (Microsoft's "Virtual Machine Generation ID").
 */
#include <minivmm/plugin.h>
#include <string.h>

struct vmgenid {
	struct minivmm_irq irq; /* option */
};

static int
vmgenid_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct vmgenid *v = minivmm_state(dev);
	uint64_t page = minivmm_acpi_page(dev);
	uint8_t before[sizeof(start->generation)];

	if (!page) {
		minivmm_log(dev, MINIVMM_INFO,
			    "the guest has no ACPI, and does not learn of its generation");
		return 0;
	}
	if (minivmm_memory_read(dev, page, before, sizeof(before)) ||
	    minivmm_memory_write(dev, page, start->generation, sizeof(before))) {
		minivmm_error(dev, "no memory at 0x%llx", (unsigned long long)page);
		return -1;
	}
	if (start->reason != MINIVMM_FRESH && memcmp(before, start->generation, sizeof(before)))
		minivmm_irq_pulse(dev, &v->irq);
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct vmgenid, irq, "none", "interrupt that notifies the guest of a new id",
		       .flags = MINIVMM_EDGE),
	MINIVMM_END,
};

static const struct minivmm_acpi acpi[] = {
	{ .hid = "MVMM0001",
	  .cid = "VM_Gen_Counter",
	  .ddn = "VM_Gen_Counter",
	  .page = "ADDR",
	  .event = 0x80 },
	MINIVMM_END,
};

static const struct minivmm_plugin vmgenid = {
	.name = "vmgenid",
	.summary = "tells the guest when it is restored as another machine",
	.state_version = 1,
	.state_size = sizeof(struct vmgenid),
	.options = options,
	.start = vmgenid_start,
	.acpi = acpi,
};
MINIVMM_REGISTER(vmgenid);
