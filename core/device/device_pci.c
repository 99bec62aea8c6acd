/* SPDX-License-Identifier: BSD-2-Clause */
/* The functions of a device that the owner of its PCI functions calls. */
#include <string.h>

#include "device/device.h"

void
devices_set_pci(struct devices *devices, const struct device_pci *pci)
{
	devices->pci = pci;
}

void
device_set_irq(struct device *device, uint32_t offset, uint32_t handle)
{
	const struct minivmm_irq irq = { handle };

	memcpy((char *)device->host.public.state + offset, &irq, sizeof(irq));
}

void
device_reset_function(struct device *device, const struct minivmm_pci *row)
{
	DEVICE_CALL(device, CALLBACK_RESET, row->reset(&device->host.public));
}

void
device_capability_read(struct device *device, const struct minivmm_capability *row,
		       const uint8_t *bytes, uint32_t offset, uint32_t width, uint32_t *value)
{
	if (row->read && DEVICE_CALL(device, CALLBACK_CAPABILITY_READ,
				     row->read(&device->host.public, bytes, offset, width, value)))
		*value = UINT32_MAX;
}

void
device_capability_written(struct device *device, const struct minivmm_capability *row,
			  const uint8_t *bytes, uint32_t offset, uint32_t width)
{
	if (row->written)
		DEVICE_CALL(device, CALLBACK_WRITTEN,
			    row->written(&device->host.public, bytes, offset, width));
}

void
device_set_master(struct device *device, bool masters)
{
	atomic_store_explicit(&device->masters, masters, memory_order_relaxed);
}
