/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's pvpanic device in its ISA form (docs/specs/pvpanic of QEMU), with one port. A guest kernel
 * that has panicked writes the event there, which ends the machine. A read returns the events that
 * the device supports.
 */
#include <minivmm/plugin.h>

#define PANICKED 0x1u
#define CRASH_LOADED 0x2u /* a crash kernel handles the panic and runs now */

static int
pvpanic_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	*value = PANICKED | CRASH_LOADED;
	return 0;
}

static int
pvpanic_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	if (value & CRASH_LOADED)
		minivmm_log(dev, MINIVMM_WARNING,
			    "the guest has panicked and continues with its crash kernel");
	if (value & PANICKED) {
		minivmm_log(dev, MINIVMM_WARNING, "the guest has panicked");
		minivmm_panic(dev);
	}
	return 0;
}

static const struct minivmm_register registers[] = {
	{ 0, "EVENTS", NULL },
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x505",
	  .length = 1,
	  .widths = MINIVMM_W8,
	  .read = pvpanic_read,
	  .write = pvpanic_write,
	  .registers = registers,
	  .help = "port of the events" },
	MINIVMM_END,
};

static const struct minivmm_acpi acpi[] = {
	{ .hid = "QEMU0001" },
	MINIVMM_END,
};

static const struct minivmm_plugin pvpanic = {
	.name = "pvpanic",
	.summary = "ends the machine when the guest's kernel panics",
	.state_version = 1,
	.state_size = 1,
	.ranges = ranges,
	.acpi = acpi,
};
MINIVMM_REGISTER(pvpanic);
