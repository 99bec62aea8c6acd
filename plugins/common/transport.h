/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the two transports of virtio, for plugins/common/ only. mmio.c and pci.c have the
 * registers, virtio.c has the device behind them. The callers hold the device's lock.
 */
#ifndef PLUGINS_COMMON_TRANSPORT_H
#define PLUGINS_COMMON_TRANSPORT_H

#include "virtio.h"

/* Call it when the driver has notified the queue. Returns 0, or -1 after an error. */
int virtio_notified(struct minivmm_device *dev, struct virtio *v, uint32_t queue);
/* Writes the device status; 0 resets the device. Returns 0, or -1 after an error. */
int virtio_set_status(struct minivmm_device *dev, struct virtio *v, uint32_t value);
/* Returns the 32 offered features that DeviceFeaturesSel selects. */
uint32_t virtio_features_word(struct minivmm_device *dev, const struct virtio *v);
/* Writes the 32 accepted features that DriverFeaturesSel selects. */
void virtio_accept_word(struct virtio *v, uint32_t value);

/* Write registers of an existing queue. The first two do nothing while the queue is ready. */
void virtio_set_size(struct minivmm_device *dev, struct virtio *v, uint32_t queue, uint32_t size);
void virtio_set_half(struct virtio *v, uint32_t queue, uint64_t *address, uint32_t value,
		     bool high);
void virtio_set_ready(struct virtio *v, uint32_t queue, bool ready);

/* Accesses of 1 to 8 bytes to the device configuration of VIRTIO_CONFIG_BYTES. */
uint64_t virtio_read_config(struct minivmm_device *dev, const struct virtio *v, uint64_t offset,
			    uint32_t width);
void virtio_write_config(struct minivmm_device *dev, struct virtio *v, uint64_t offset,
			 uint32_t width, uint64_t value);
uint32_t virtio_generation(struct minivmm_device *dev, const struct virtio *v);
/* Clears bits of InterruptStatus. Lowers the line or pin if no bit is left. */
void virtio_clear_interrupts(struct minivmm_device *dev, struct virtio *v, uint32_t bits);

#endif
