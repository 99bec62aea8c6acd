/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers of virtio's MMIO transport (virtio 1.2, section 4.2.2). */
#include "transport.h"

const struct minivmm_acpi virtio_acpi[] = {
	{ .hid = "LNRO0005" },
	MINIVMM_END,
};

const struct minivmm_register virtio_registers[] = {
	{ VIRTIO_MAGIC, "MagicValue", NULL },
	{ VIRTIO_VERSION, "Version", NULL },
	{ VIRTIO_DEVICE_ID, "DeviceID", NULL },
	{ VIRTIO_VENDOR_ID, "VendorID", NULL },
	{ VIRTIO_DEVICE_FEATURES, "DeviceFeatures", NULL },
	{ VIRTIO_DEVICE_FEATURES_SEL, "DeviceFeaturesSel", NULL },
	{ VIRTIO_DRIVER_FEATURES, "DriverFeatures", NULL },
	{ VIRTIO_DRIVER_FEATURES_SEL, "DriverFeaturesSel", NULL },
	{ VIRTIO_QUEUE_SEL, "QueueSel", NULL },
	{ VIRTIO_QUEUE_NUM_MAX, "QueueNumMax", NULL },
	{ VIRTIO_QUEUE_NUM, "QueueNum", NULL },
	{ VIRTIO_QUEUE_READY, "QueueReady", NULL },
	{ VIRTIO_QUEUE_NOTIFY, "QueueNotify", NULL },
	{ VIRTIO_INTERRUPT_STATUS, "InterruptStatus", NULL },
	{ VIRTIO_INTERRUPT_ACK, "InterruptACK", NULL },
	{ VIRTIO_STATUS, "Status", NULL },
	{ VIRTIO_QUEUE_DESC_LOW, "QueueDescLow", NULL },
	{ VIRTIO_QUEUE_DESC_HIGH, "QueueDescHigh", NULL },
	{ VIRTIO_QUEUE_DRIVER_LOW, "QueueDriverLow", NULL },
	{ VIRTIO_QUEUE_DRIVER_HIGH, "QueueDriverHigh", NULL },
	{ VIRTIO_QUEUE_DEVICE_LOW, "QueueDeviceLow", NULL },
	{ VIRTIO_QUEUE_DEVICE_HIGH, "QueueDeviceHigh", NULL },
	{ VIRTIO_CONFIG_GENERATION, "ConfigGeneration", NULL },
	MINIVMM_END,
};

int
virtio_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	const struct virtio *v = minivmm_state(dev);
	bool queue = v->queue_sel < v->kind->queues;

	if (a->offset >= VIRTIO_CONFIG) {
		*value = virtio_read_config(dev, v, a->offset - VIRTIO_CONFIG, a->width);
		return 0;
	}
	*value = 0;
	if (a->width != 4)
		return 0;
	switch (a->offset) {
	case VIRTIO_MAGIC:
		*value = 0x74726976; /* "virt" */
		break;
	case VIRTIO_VERSION:
		*value = 2;
		break;
	case VIRTIO_DEVICE_ID:
		*value = v->kind->id;
		break;
	case VIRTIO_VENDOR_ID:
		*value = 0x4d4d564d; /* "MVMM" */
		break;
	case VIRTIO_DEVICE_FEATURES:
		*value = virtio_features_word(dev, v);
		break;
	case VIRTIO_QUEUE_NUM_MAX:
		*value = queue ? VIRTIO_QUEUE_MAX : 0;
		break;
	case VIRTIO_QUEUE_READY:
		*value = queue ? v->ready[v->queue_sel] : 0;
		break;
	case VIRTIO_INTERRUPT_STATUS:
		*value = v->interrupts;
		break;
	case VIRTIO_STATUS:
		*value = v->status;
		break;
	case VIRTIO_CONFIG_GENERATION:
		*value = virtio_generation(dev, v);
		break;
	}
	return 0;
}

/* Writes a register of the selected queue. */
static void
write_queue(struct minivmm_device *dev, struct virtio *v, uint64_t offset, uint32_t value)
{
	uint32_t q = v->queue_sel;

	if (q >= v->kind->queues)
		return;
	switch (offset) {
	case VIRTIO_QUEUE_NUM:
		virtio_set_size(dev, v, q, value);
		break;
	case VIRTIO_QUEUE_READY:
		virtio_set_ready(v, q, value == 1 && v->size[q]);
		break;
	case VIRTIO_QUEUE_DESC_LOW:
	case VIRTIO_QUEUE_DESC_HIGH:
		virtio_set_half(v, q, &v->desc[q], value, offset == VIRTIO_QUEUE_DESC_HIGH);
		break;
	case VIRTIO_QUEUE_DRIVER_LOW:
	case VIRTIO_QUEUE_DRIVER_HIGH:
		virtio_set_half(v, q, &v->avail_ring[q], value, offset == VIRTIO_QUEUE_DRIVER_HIGH);
		break;
	case VIRTIO_QUEUE_DEVICE_LOW:
	case VIRTIO_QUEUE_DEVICE_HIGH:
		virtio_set_half(v, q, &v->used_ring[q], value, offset == VIRTIO_QUEUE_DEVICE_HIGH);
		break;
	}
}

int
virtio_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t wide)
{
	struct virtio *v = minivmm_state(dev);
	uint32_t value = (uint32_t)wide;

	if (a->offset >= VIRTIO_CONFIG)
		virtio_write_config(dev, v, a->offset - VIRTIO_CONFIG, a->width, wide);
	if (a->offset >= VIRTIO_CONFIG || a->width != 4)
		return 0;
	switch (a->offset) {
	case VIRTIO_DEVICE_FEATURES_SEL:
		v->device_sel = value;
		break;
	case VIRTIO_DRIVER_FEATURES_SEL:
		v->driver_sel = value;
		break;
	case VIRTIO_DRIVER_FEATURES:
		virtio_accept_word(v, value);
		break;
	case VIRTIO_QUEUE_SEL:
		v->queue_sel = value;
		break;
	case VIRTIO_QUEUE_NOTIFY:
		return virtio_notified(dev, v, value);
	case VIRTIO_INTERRUPT_ACK:
		virtio_clear_interrupts(dev, v, value);
		break;
	case VIRTIO_STATUS:
		return virtio_set_status(dev, v, value);
	default:
		write_queue(dev, v, a->offset, value);
	}
	return 0;
}
