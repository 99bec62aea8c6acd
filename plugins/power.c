/* SPDX-License-Identifier: BSD-2-Clause */
/* The sleep and reset registers of hardware-reduced ACPI (ACPI 6.5, sections 4.8.3.6 and 4.8.3.7).
 * Both power-off and reset end the machine. */
#include <minivmm/plugin.h>

#define SLEEP_ENABLE 0x20

struct power {
	uint8_t reset; /* option */
};

static int
power_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	return 0; /* the wake status is never set */
}

static int
power_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	const struct power *p = minivmm_state(dev);

	if (a->offset == MINIVMM_POWER_CONTROL && value & SLEEP_ENABLE &&
	    (value >> 2 & 7) == MINIVMM_POWER_OFF)
		minivmm_exit(dev, 0);
	if (a->offset == MINIVMM_POWER_RESET)
		minivmm_exit(dev, p->reset);
	return 0;
}

static const struct minivmm_option options[] = {
	MINIVMM_OPTION(struct power, reset, "0", "exit status after a reset by the guest",
		       .max = 99),
	MINIVMM_END,
};

static const struct minivmm_register registers[] = {
	{ MINIVMM_POWER_CONTROL, "SLEEP_CONTROL", NULL },
	{ MINIVMM_POWER_STATUS, "SLEEP_STATUS", NULL },
	{ MINIVMM_POWER_RESET, "RESET", NULL },
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_PIO,
	  .at = "port",
	  .at_initial = "0x600",
	  .length = 3,
	  .widths = MINIVMM_W8,
	  .read = power_read,
	  .write = power_write,
	  .registers = registers,
	  .help = "first of the three ports" },
	MINIVMM_END,
};

static const struct minivmm_acpi acpi[] = {
	{ .role = MINIVMM_ACPI_POWER },
	MINIVMM_END,
};

static const struct minivmm_plugin power = {
	.name = "power",
	.summary = "the ACPI registers that switch the machine off",
	.state_version = 1,
	.state_size = sizeof(struct power),
	.options = options,
	.ranges = ranges,
	.acpi = acpi,
};
MINIVMM_REGISTER(power);
