/* SPDX-License-Identifier: BSD-2-Clause */
/* A virtio device behind its transport: features, status, reset, notifications, interrupts. */
#include "transport.h"

#include <string.h>

/* Interrupts by a message if the driver has set one; else by the line or pin. */
static void
signal_driver(struct minivmm_device *dev, struct virtio *v, uint32_t why, uint16_t vector)
{
	if (vector != VIRTIO_NO_VECTOR) {
		minivmm_irq_pulse(dev, &v->messages[vector]);
		return;
	}
	v->interrupts |= why;
	minivmm_irq_raise(dev, virtio_in_slot(v) ? &v->pin : &v->irq);
}

void
virtio_interrupt(struct minivmm_device *dev, struct virtio *v, uint32_t queue)
{
	signal_driver(dev, v, VIRTIO_INTERRUPT_USED, v->vectors[queue]);
}

void
virtio_interrupt_config(struct minivmm_device *dev, struct virtio *v)
{
	v->interrupts |= VIRTIO_INTERRUPT_CONFIG; /* section 4.1.4.5.1: with messages, too */
	signal_driver(dev, v, VIRTIO_INTERRUPT_CONFIG, v->config_vector);
}

void
virtio_clear_interrupts(struct minivmm_device *dev, struct virtio *v, uint32_t bits)
{
	v->interrupts &= ~bits;
	if (!v->interrupts)
		minivmm_irq_lower(dev, virtio_in_slot(v) ? &v->pin : &v->irq);
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
		virtio_interrupt_config(dev, v);
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

uint32_t
virtio_features_word(struct minivmm_device *dev, const struct virtio *v)
{
	return v->device_sel < 2 ? (uint32_t)(virtio_offered(dev, v) >> 32 * v->device_sel) : 0;
}

int
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
		struct minivmm_bind bind = {
			.offset = VIRTIO_QUEUE_NOTIFY, .width = 4, .value = q, .watch = q
		};

		if (virtio_in_slot(v)) {
			bind.range = VIRTIO_PCI_RANGE;
			bind.offset = VIRTIO_PCI_NOTIFY + q * VIRTIO_PCI_NOTIFY_STEP;
			bind.width = 2;
		}
		r = minivmm_bind_write(dev, &bind);
	}
	return r;
}

static void
virtio_reset(struct minivmm_device *dev, struct virtio *v)
{
	struct virtio keep = { .kind = v->kind, .irq = v->irq, .pin = v->pin };

	memcpy(keep.messages, v->messages, sizeof(keep.messages));
	keep.config_vector = VIRTIO_NO_VECTOR;
	memset(keep.vectors, 0xff, sizeof(keep.vectors));
	*v = keep;
	virtio_clear_interrupts(dev, v, ~0u);
	if (v->kind->reset)
		v->kind->reset(dev);
}

uint64_t
virtio_read_config(struct minivmm_device *dev, const struct virtio *v, uint64_t offset,
		   uint32_t width)
{
	uint8_t config[VIRTIO_CONFIG_BYTES + 8] = { 0 };
	uint64_t value = 0;

	if (v->kind->config)
		v->kind->config(dev, config);
	memcpy(&value, config + offset, width <= 8 ? width : 8);
	return value;
}

void
virtio_write_config(struct minivmm_device *dev, struct virtio *v, uint64_t offset, uint32_t width,
		    uint64_t value)
{
	if (v->kind->config_write)
		v->kind->config_write(dev, offset, width, value);
}

uint32_t
virtio_generation(struct minivmm_device *dev, const struct virtio *v)
{
	return v->kind->generation ? v->kind->generation(dev) : 0;
}

static void
set_half(uint64_t *address, uint32_t value, bool high)
{
	*address = high ? (*address & UINT32_MAX) | (uint64_t)value << 32
			: (*address & ~(uint64_t)UINT32_MAX) | value;
}

void
virtio_accept_word(struct virtio *v, uint32_t value)
{
	if (v->driver_sel < 2 && !(v->status & VIRTIO_FEATURES_OK))
		set_half(&v->driver_features, value, v->driver_sel);
}

void
virtio_set_half(struct virtio *v, uint32_t queue, uint64_t *address, uint32_t value, bool high)
{
	if (!v->ready[queue])
		set_half(address, value, high);
}

void
virtio_set_size(struct minivmm_device *dev, struct virtio *v, uint32_t queue, uint32_t size)
{
	if (v->ready[queue])
		return;
	/* A power of two, section 2.7. */
	if (size && size <= VIRTIO_QUEUE_MAX && !(size & (size - 1)))
		v->size[queue] = (uint16_t)size;
	else
		virtio_broken(dev, v, "a queue size is not a power of two of at most 256");
}

void
virtio_set_ready(struct virtio *v, uint32_t queue, bool ready)
{
	v->ready[queue] = ready;
	v->last_avail_idx[queue] = v->used_idx[queue] = 0;
	v->pending[queue] = false;
}

int
virtio_set_status(struct minivmm_device *dev, struct virtio *v, uint32_t value)
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

static bool
is_vector(const struct virtio *v, uint16_t vector)
{
	return vector == VIRTIO_NO_VECTOR || virtio_has_vector(v, vector);
}

int
virtio_loaded(struct minivmm_device *dev)
{
	const struct virtio *v = minivmm_state(dev);

	if (!is_vector(v, v->config_vector)) {
		minivmm_error(dev,
			      "the state has the vector %u, which the device lacks; the "
			      "snapshot is damaged",
			      v->config_vector);
		return -1;
	}
	for (uint32_t q = 0; q < VIRTIO_QUEUES; q++)
		if (v->size[q] > VIRTIO_QUEUE_MAX || v->size[q] & (v->size[q] - 1) ||
		    v->ready[q] > 1 || (v->ready[q] && !v->size[q]) ||
		    !is_vector(v, v->vectors[q])) {
			minivmm_error(dev,
				      "the state of queue %u is not valid: size %u, ready %u, "
				      "vector %u; the snapshot is damaged",
				      q, v->size[q], v->ready[q], v->vectors[q]);
			return -1;
		}
	return 0;
}
