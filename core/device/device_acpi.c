/* SPDX-License-Identifier: BSD-2-Clause */
/* The properties of a device that ACPI tables describe: its acpi rows, ranges and interrupts. */
#include <string.h>

#include "device/device.h"

const struct minivmm_acpi *
device_acpi(const struct device *device, uint32_t index)
{
	return index < device->plugin.acpi_count ? &device->plugin.descriptor.acpi[index] : NULL;
}

const struct bus_range *
device_range(const struct device *device, uint32_t space, const struct bus_range *after)
{
	return bus_next(&device->all->machine->bus, space, &device->host.public, after);
}

const char *
device_irq_option(const struct device *device, uint32_t index)
{
	const struct minivmm_option *options = device->plugin.descriptor.options;

	for (uint32_t i = 0; i < device->plugin.option_count; i++)
		if (options[i].type == MINIVMM_IRQ && !index--)
			return options[i].name;
	return NULL;
}

const struct irq_source *
device_irq(const struct device *device, const char *option)
{
	const struct minivmm_option *options = device->plugin.descriptor.options;

	for (uint32_t i = 0; i < device->plugin.option_count; i++)
		if (options[i].type == MINIVMM_IRQ && !strcmp(options[i].name, option)) {
			const struct minivmm_irq *irq =
			    (const void *)((const char *)device->host.public.state +
					   options[i].offset);

			/* The plugin may have changed its copy of the handle. */
			return irq->handle - device->irq_first < device->irqs
				   ? irqs_source(&device->all->machine->irqs, irq->handle)
				   : NULL;
		}
	return NULL;
}
