/* SPDX-License-Identifier: BSD-2-Clause */
/* The MMIO transport of virtio: the registers, feature negotiation and reset. */
#include "virtio.h"

#include <string.h>

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

void
virtio_interrupt(struct minivmm_device *dev, struct virtio *v, uint32_t why)
{
	v->interrupts |= why;
	minivmm_irq_raise(dev, &v->irq);
}

void
virtio_broken(struct minivmm_device *dev, struct virtio *v, const char *why)
{
	if (v->status & VIRTIO_NEEDS_RESET)
		return;
	minivmm_log(dev, MINIVMM_WARNING,
		    "the driver violated the virtio specification and must reset the device: %s",
		    why);
	v->status |= VIRTIO_NEEDS_RESET;
	if (v->status & VIRTIO_DRIVER_OK)
		virtio_interrupt(dev, v, VIRTIO_INTERRUPT_CONFIG);
}

uint64_t
virtio_offered(struct minivmm_device *dev, const struct virtio *v)
{
	return VIRTIO_FEATURES | (v->kind->features ? v->kind->features(dev) : 0);
}

int
virtio_process_pending(struct minivmm_device *dev, uint32_t post)
{
	struct virtio *v = minivmm_state(dev);
	int r = 0;

	v->budget = VIRTIO_BUDGET;
	for (uint32_t q = 0; q < v->kind->queues && !r; q++)
		r = virtio_live(v, q) && v->pending[q] ? v->kind->notify(dev, q) : 0;
	return r;
}

const struct minivmm_post virtio_posts[] = {
	{ .name = "again", .run = virtio_process_pending, .help = "processes pending queues" },
	MINIVMM_END,
};

/* The driver has notified the queue. */
static int
virtio_notified(struct minivmm_device *dev, struct virtio *v, uint32_t queue)
{
	v->budget = VIRTIO_BUDGET;
	if (queue >= v->kind->queues || !virtio_live(v, queue))
		return 0;
	v->pending[queue] = true;
	return v->kind->notify(dev, queue);
}

int
virtio_queue_ready(struct minivmm_device *dev, uint32_t queue, uint32_t events)
{
	return virtio_notified(dev, minivmm_state(dev), queue);
}

int
virtio_ioeventfds(struct minivmm_device *dev)
{
	const struct virtio *v = minivmm_state(dev);
	int r = 0;

	for (uint32_t q = 0; q < v->kind->queues && !r; q++) {
		const struct minivmm_bind bind = {
			.offset = VIRTIO_QUEUE_NOTIFY, .width = 4, .value = q, .watch = q
		};

		r = minivmm_bind_write(dev, &bind);
	}
	return r;
}

static void
virtio_reset(struct minivmm_device *dev, struct virtio *v)
{
	const struct virtio keep = { .kind = v->kind, .irq = v->irq };

	*v = keep;
	minivmm_irq_lower(dev, &v->irq);
	if (v->kind->reset)
		v->kind->reset(dev);
}

static uint64_t
virtio_config(struct minivmm_device *dev, const struct virtio *v, uint64_t offset, uint32_t width)
{
	uint8_t config[VIRTIO_LENGTH - VIRTIO_CONFIG + 8] = { 0 };
	uint64_t value = 0;

	if (v->kind->config)
		v->kind->config(dev, config);
	memcpy(&value, config + offset, width <= 8 ? width : 8);
	return value;
}

int
virtio_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	const struct virtio *v = minivmm_state(dev);
	bool queue = v->queue_sel < v->kind->queues;

	if (a->offset >= VIRTIO_CONFIG) {
		*value = virtio_config(dev, v, a->offset - VIRTIO_CONFIG, a->width);
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
		*value = v->device_sel < 2
			     ? (uint32_t)(virtio_offered(dev, v) >> 32 * v->device_sel)
			     : 0;
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
		*value = v->kind->generation ? v->kind->generation(dev) : 0;
		break;
	}
	return 0;
}

static void
virtio_half(uint64_t *address, uint32_t value, bool high)
{
	*address = high ? (*address & UINT32_MAX) | (uint64_t)value << 32
			: (*address & ~(uint64_t)UINT32_MAX) | value;
}

/* Writes a register of the selected queue. While the queue is ready, only QueueReady can be
 * written. */
static void
virtio_write_queue(struct minivmm_device *dev, struct virtio *v, uint64_t offset, uint32_t value)
{
	uint32_t q = v->queue_sel;

	if (q >= v->kind->queues || (v->ready[q] && offset != VIRTIO_QUEUE_READY))
		return;
	switch (offset) {
	case VIRTIO_QUEUE_NUM:
		/* A power of two, section 2.7. */
		if (value && value <= VIRTIO_QUEUE_MAX && !(value & (value - 1)))
			v->size[q] = (uint16_t)value;
		else
			virtio_broken(dev, v, "a queue size is not a power of two of at most 256");
		break;
	case VIRTIO_QUEUE_READY:
		v->ready[q] = value == 1 && v->size[q];
		v->last_avail_idx[q] = v->used_idx[q] = 0;
		v->pending[q] = false;
		break;
	case VIRTIO_QUEUE_DESC_LOW:
	case VIRTIO_QUEUE_DESC_HIGH:
		virtio_half(&v->desc[q], value, offset == VIRTIO_QUEUE_DESC_HIGH);
		break;
	case VIRTIO_QUEUE_DRIVER_LOW:
	case VIRTIO_QUEUE_DRIVER_HIGH:
		virtio_half(&v->avail_ring[q], value, offset == VIRTIO_QUEUE_DRIVER_HIGH);
		break;
	case VIRTIO_QUEUE_DEVICE_LOW:
	case VIRTIO_QUEUE_DEVICE_HIGH:
		virtio_half(&v->used_ring[q], value, offset == VIRTIO_QUEUE_DEVICE_HIGH);
		break;
	}
}

static int
virtio_write_status(struct minivmm_device *dev, struct virtio *v, uint32_t value)
{
	bool live = v->status & VIRTIO_DRIVER_OK;

	if (!value) {
		virtio_reset(dev, v);
		return 0;
	}
	/* Section 2.2.2: the device does not accept FEATURES_OK with features that it does not
	 * offer. */
	if (value & VIRTIO_FEATURES_OK && !(v->status & VIRTIO_FEATURES_OK) &&
	    (v->driver_features & ~virtio_offered(dev, v) || !virtio_has(v, VIRTIO_F_VERSION_1)))
		value &= ~(uint32_t)VIRTIO_FEATURES_OK;
	if (!(value & VIRTIO_FEATURES_OK)) /* section 3.1.1: DRIVER_OK requires FEATURES_OK */
		value &= ~(uint32_t)VIRTIO_DRIVER_OK;
	v->status =
	    (value & 0xff & ~(uint32_t)VIRTIO_NEEDS_RESET) | (v->status & VIRTIO_NEEDS_RESET);
	if (live || !(v->status & VIRTIO_DRIVER_OK))
		return 0;
	/* Some drivers, for example Linux's balloon, fill and notify a queue before DRIVER_OK. */
	memset(v->pending, true, sizeof(v->pending));
	return virtio_process_pending(dev, 0);
}

int
virtio_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t wide)
{
	struct virtio *v = minivmm_state(dev);
	uint32_t value = (uint32_t)wide;

	if (a->offset >= VIRTIO_CONFIG && v->kind->config_write)
		v->kind->config_write(dev, a->offset - VIRTIO_CONFIG, a->width, wide);
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
		if (v->driver_sel < 2 && !(v->status & VIRTIO_FEATURES_OK))
			virtio_half(&v->driver_features, value, v->driver_sel);
		break;
	case VIRTIO_QUEUE_SEL:
		v->queue_sel = value;
		break;
	case VIRTIO_QUEUE_NOTIFY:
		return virtio_notified(dev, v, value);
	case VIRTIO_INTERRUPT_ACK:
		v->interrupts &= ~value;
		if (!v->interrupts)
			minivmm_irq_lower(dev, &v->irq);
		break;
	case VIRTIO_STATUS:
		return virtio_write_status(dev, v, value);
	default:
		virtio_write_queue(dev, v, a->offset, value);
	}
	return 0;
}

int
virtio_loaded(struct minivmm_device *dev)
{
	const struct virtio *v = minivmm_state(dev);

	for (uint32_t q = 0; q < VIRTIO_QUEUES; q++)
		if (v->size[q] > VIRTIO_QUEUE_MAX || v->size[q] & (v->size[q] - 1) ||
		    v->ready[q] > 1 || (v->ready[q] && !v->size[q])) {
			minivmm_error(dev,
				      "the state of queue %u is not valid: size %u, ready %u; the "
				      "snapshot is damaged",
				      q, v->size[q], v->ready[q]);
			return -1;
		}
	return 0;
}
