/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two transports of virtio share: mmio.c and pci.c have the registers, virtio.c has the
 * device behind them. For plugins/common/ only; the callers have the device's lock.
 */
#ifndef PLUGINS_COMMON_TRANSPORT_H
#define PLUGINS_COMMON_TRANSPORT_H

#include "virtio.h"

/* The driver has notified the queue. */
int virtio_notified(struct minivmm_device *dev, struct virtio *v, uint32_t queue);
/* Writes the device status; 0 resets the device. */
int virtio_set_status(struct minivmm_device *dev, struct virtio *v, uint32_t value);
/* The 32 offered features that DeviceFeaturesSel selects. */
uint32_t virtio_features_word(struct minivmm_device *dev, const struct virtio *v);
/* Writes the 32 accepted features that DriverFeaturesSel selects. */
void virtio_accept_word(struct virtio *v, uint32_t value);

/* Registers of a queue, which must exist. The first two are ignored while it is ready. */
void virtio_set_size(struct minivmm_device *dev, struct virtio *v, uint32_t queue, uint32_t size);
void virtio_set_half(struct virtio *v, uint32_t queue, uint64_t *address, uint32_t value,
		     bool high);
void virtio_set_ready(struct virtio *v, uint32_t queue, bool ready);

/* Accesses of 1 to 8 bytes to the device configuration, which has 256. */
uint64_t virtio_read_config(struct minivmm_device *dev, const struct virtio *v, uint64_t offset,
			    uint32_t width);
void virtio_write_config(struct minivmm_device *dev, struct virtio *v, uint64_t offset,
			 uint32_t width, uint64_t value);
uint32_t virtio_generation(struct minivmm_device *dev, const struct virtio *v);
/* Clears bits of InterruptStatus, and lowers the line or pin after the last. */
void virtio_clear_interrupts(struct minivmm_device *dev, struct virtio *v, uint32_t bits);

#endif
