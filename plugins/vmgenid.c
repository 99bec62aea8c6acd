/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The generation id of the machine (Microsoft's "Virtual Machine Generation ID"): 16 bytes in a
 * page of guest memory, which change at each restore. The device then notifies the guest's kernel,
 * which reseeds its random number generator. So copies of a machine do not produce the same random
 * numbers.
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
		minivmm_log(
		    dev, MINIVMM_INFO,
		    "the machine has no ACPI tables: the guest cannot find its generation id");
		return 0;
	}
	if (minivmm_memory_read(dev, page, before, sizeof(before)) ||
	    minivmm_memory_write(dev, page, start->generation, sizeof(before))) {
		minivmm_error(dev, "cannot write the generation id: 0x%llx is not in guest memory",
			      (unsigned long long)page);
		return -1;
	}
	if (start->reason != MINIVMM_FRESH && memcmp(before, start->generation, sizeof(before)))
		minivmm_irq_pulse(dev, &v->irq);
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct vmgenid, irq, "none",
		       "interrupt that notifies the guest of a new generation id",
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
	.summary = "notifies the guest when it has been restored",
	.state_version = 1,
	.state_size = sizeof(struct vmgenid),
	.options = options,
	.start = vmgenid_start,
	.acpi = acpi,
};
MINIVMM_REGISTER(vmgenid);
