/* SPDX-License-Identifier: BSD-2-Clause */
/* The registers and capabilities of virtio's PCI transport (virtio 1.2, section 4.1.4). */
#include <string.h>

#include "transport.h"

/* Offsets in the common configuration, which begins at offset 0 of the BAR. */
enum {
	DEVICE_FEATURE_SELECT = 0,
	DEVICE_FEATURE = 4,
	DRIVER_FEATURE_SELECT = 8,
	DRIVER_FEATURE = 12,
	CONFIG_MSIX_VECTOR = 16,
	NUM_QUEUES = 18,
	DEVICE_STATUS = 20,
	CONFIG_GENERATION = 21,
	QUEUE_SELECT = 22,
	QUEUE_SIZE = 24,
	QUEUE_MSIX_VECTOR = 26,
	QUEUE_ENABLE = 28,
	QUEUE_NOTIFY_OFF = 30,
	QUEUE_DESC = 32,
	QUEUE_DRIVER = 40,
	QUEUE_DEVICE = 48,
	COMMON_BYTES = 64,
};

enum { CFG_COMMON = 1, CFG_NOTIFY, CFG_ISR, CFG_DEVICE, CFG_PCI };
#define CAP_VENDOR 9u

/* The members of struct virtio_pci_cap after the id and the link. The BAR has the number 0. */
#define LE32(n) (n) & 0xff, (n) >> 8 & 0xff, (n) >> 16 & 0xff, (n) >> 24 & 0xff
#define CAP(bytes, type, offset, length) bytes, type, 0, 0, 0, 0, LE32(offset), LE32(length)
static const uint8_t common_cap[] = { CAP(16, CFG_COMMON, 0u, COMMON_BYTES) };
static const uint8_t isr_cap[] = { CAP(16, CFG_ISR, VIRTIO_PCI_ISR, 1u) };
static const uint8_t device_cap[] = { CAP(16, CFG_DEVICE, VIRTIO_PCI_CONFIG, VIRTIO_CONFIG_BYTES) };
static const uint8_t notify_cap[] = { CAP(20, CFG_NOTIFY, VIRTIO_PCI_NOTIFY,
					  VIRTIO_QUEUES *VIRTIO_PCI_NOTIFY_STEP),
				      LE32(VIRTIO_PCI_NOTIFY_STEP) };
static const uint8_t pci_cap[] = { CAP(20, CFG_PCI, 0u, 0u), LE32(0u) };
static const uint8_t pci_writable[sizeof(pci_cap)] = { 0,    0,    0xff, 0,    0,    0,
						       0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
						       0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* Offsets in the capability CFG_PCI. Through it, a driver can access a BAR that it cannot map. */
enum {
	PCI_CFG_BAR = 4,
	PCI_CFG_OFFSET = 8,
	PCI_CFG_LENGTH = 12,
	PCI_CFG_DATA = 16,
	PCI_CFG_BYTES = 20
};

static void
put(uint8_t *bytes, uint32_t at, uint64_t value, uint32_t width)
{
	memcpy(bytes + at, &value, width);
}

static void
common(struct minivmm_device *dev, const struct virtio *v, uint8_t *bytes)
{
	uint32_t q = v->queue_sel;

	put(bytes, DEVICE_FEATURE_SELECT, v->device_sel, 4);
	put(bytes, DEVICE_FEATURE, virtio_features_word(dev, v), 4);
	put(bytes, DRIVER_FEATURE_SELECT, v->driver_sel, 4);
	put(bytes, DRIVER_FEATURE, v->driver_sel < 2 ? v->driver_features >> 32 * v->driver_sel : 0,
	    4);
	put(bytes, CONFIG_MSIX_VECTOR, v->config_vector, 2);
	put(bytes, NUM_QUEUES, v->kind->queues, 2);
	put(bytes, DEVICE_STATUS, v->status, 1);
	put(bytes, CONFIG_GENERATION, virtio_generation(dev, v), 1);
	put(bytes, QUEUE_SELECT, q, 2);
	if (q >= v->kind->queues)
		return;
	put(bytes, QUEUE_SIZE, v->size[q] ? v->size[q] : VIRTIO_QUEUE_MAX, 2);
	put(bytes, QUEUE_MSIX_VECTOR, v->vectors[q], 2);
	put(bytes, QUEUE_ENABLE, v->ready[q], 2);
	put(bytes, QUEUE_NOTIFY_OFF, q, 2);
	put(bytes, QUEUE_DESC, v->desc[q], 8);
	put(bytes, QUEUE_DRIVER, v->avail_ring[q], 8);
	put(bytes, QUEUE_DEVICE, v->used_ring[q], 8);
}

static uint64_t
read_register(struct minivmm_device *dev, uint64_t offset, uint32_t width)
{
	struct virtio *v = minivmm_state(dev);
	uint8_t bytes[COMMON_BYTES] = { 0 };
	uint64_t value = 0;

	if (offset + width <= COMMON_BYTES) {
		common(dev, v, bytes);
		memcpy(&value, bytes + offset, width);
	} else if (offset == VIRTIO_PCI_ISR) {
		value = v->interrupts;
		virtio_clear_interrupts(dev, v, ~0u);
	} else if (offset >= VIRTIO_PCI_CONFIG &&
		   offset + width <= VIRTIO_PCI_CONFIG + VIRTIO_CONFIG_BYTES) {
		value = virtio_read_config(dev, v, offset - VIRTIO_PCI_CONFIG, width);
	}
	return value;
}

/* Section 4.1.5.1.2: a vector that does not exist reads back as none. */
static uint16_t
vector(const struct virtio *v, uint32_t value)
{
	return virtio_has_vector(v, value) ? (uint16_t)value : VIRTIO_NO_VECTOR;
}

static void
enable_queue(struct virtio *v, uint32_t q, uint32_t value)
{
	if (value != 1 || v->ready[q])
		return;
	if (!v->size[q])
		v->size[q] = VIRTIO_QUEUE_MAX;
	virtio_set_ready(v, q, true);
}

/* Writes a register of the selected queue; of an address, one half. */
static void
write_queue(struct minivmm_device *dev, struct virtio *v, uint64_t offset, uint32_t value)
{
	uint32_t q = v->queue_sel;
	bool high = offset & 4;

	if (q >= v->kind->queues)
		return;
	switch (offset) {
	case QUEUE_SIZE:
		virtio_set_size(dev, v, q, value & 0xffff);
		break;
	case QUEUE_MSIX_VECTOR:
		v->vectors[q] = vector(v, value & 0xffff);
		break;
	case QUEUE_ENABLE:
		enable_queue(v, q, value & 0xffff);
		break;
	case QUEUE_DESC:
	case QUEUE_DESC + 4:
		virtio_set_half(v, q, &v->desc[q], value, high);
		break;
	case QUEUE_DRIVER:
	case QUEUE_DRIVER + 4:
		virtio_set_half(v, q, &v->avail_ring[q], value, high);
		break;
	case QUEUE_DEVICE:
	case QUEUE_DEVICE + 4:
		virtio_set_half(v, q, &v->used_ring[q], value, high);
		break;
	}
}

static int
write_common(struct minivmm_device *dev, struct virtio *v, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case DEVICE_FEATURE_SELECT:
		v->device_sel = value;
		break;
	case DRIVER_FEATURE_SELECT:
		v->driver_sel = value;
		break;
	case DRIVER_FEATURE:
		virtio_accept_word(v, value);
		break;
	case CONFIG_MSIX_VECTOR:
		v->config_vector = vector(v, value & 0xffff);
		break;
	case DEVICE_STATUS:
		return virtio_set_status(dev, v, value & 0xff);
	case QUEUE_SELECT:
		v->queue_sel = value & 0xffff;
		break;
	default:
		write_queue(dev, v, offset, value);
	}
	return 0;
}

static int
write_register(struct minivmm_device *dev, uint64_t offset, uint32_t width, uint64_t value)
{
	struct virtio *v = minivmm_state(dev);

	if (offset + width <= COMMON_BYTES) {
		int r = write_common(dev, v, offset, (uint32_t)value);

		return r || width < 8 ? r
				      : write_common(dev, v, offset + 4, (uint32_t)(value >> 32));
	}
	if (offset >= VIRTIO_PCI_NOTIFY)
		return virtio_notified(
		    dev, v, (uint32_t)(offset - VIRTIO_PCI_NOTIFY) / VIRTIO_PCI_NOTIFY_STEP);
	if (offset >= VIRTIO_PCI_CONFIG &&
	    offset + width <= VIRTIO_PCI_CONFIG + VIRTIO_CONFIG_BYTES)
		virtio_write_config(dev, v, offset - VIRTIO_PCI_CONFIG, width, value);
	return 0;
}

int
virtio_pci_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	*value = read_register(dev, a->offset, a->width);
	return 0;
}

int
virtio_pci_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	return write_register(dev, a->offset, a->width, value);
}

int
virtio_pci_reset(struct minivmm_device *dev)
{
	return virtio_set_status(dev, minivmm_state(dev), 0);
}

/* Returns whether the capability CFG_PCI describes a valid access, and its offset and width. */
static bool
window(const uint8_t *bytes, uint32_t *offset, uint32_t *width)
{
	memcpy(offset, bytes + PCI_CFG_OFFSET, sizeof(*offset));
	memcpy(width, bytes + PCI_CFG_LENGTH, sizeof(*width));
	return !bytes[PCI_CFG_BAR] && (*width == 1 || *width == 2 || *width == 4) &&
	       !(*offset & (*width - 1)) && *offset < VIRTIO_PCI_LENGTH;
}

/* Section 4.1.4.9: an access to pci_cfg_data makes the access that the capability describes. A read
 * returns the bytes of that access. */
static int
read_window(struct minivmm_device *dev, const uint8_t *bytes, uint32_t at, uint32_t count,
	    uint32_t *value)
{
	uint32_t offset, width;
	uint8_t data[PCI_CFG_BYTES];
	uint64_t read;

	if (at < PCI_CFG_DATA || !window(bytes, &offset, &width))
		return 0;
	memcpy(data, bytes, sizeof(data));
	read = read_register(dev, offset, width);
	memcpy(data + PCI_CFG_DATA, &read, width);
	*value = 0;
	memcpy(value, data + at, count);
	return 0;
}

static int
write_window(struct minivmm_device *dev, const uint8_t *bytes, uint32_t at, uint32_t count)
{
	uint32_t offset, width, value = 0;

	if (at < PCI_CFG_DATA || !window(bytes, &offset, &width))
		return 0;
	memcpy(&value, bytes + PCI_CFG_DATA, width);
	return write_register(dev, offset, width, value);
}

const struct minivmm_bar virtio_bars[] = {
	{ .type = MINIVMM_BAR_MEMORY64, .number = 0, .range = VIRTIO_PCI_RANGE },
	MINIVMM_END,
};

const struct minivmm_capability virtio_capabilities[] = {
	{ .id = CAP_VENDOR, .bytes = common_cap, .length = sizeof(common_cap) },
	{ .id = CAP_VENDOR, .bytes = notify_cap, .length = sizeof(notify_cap) },
	{ .id = CAP_VENDOR, .bytes = isr_cap, .length = sizeof(isr_cap) },
	{ .id = CAP_VENDOR, .bytes = device_cap, .length = sizeof(device_cap) },
	{ .id = CAP_VENDOR,
	  .bytes = pci_cap,
	  .writable = pci_writable,
	  .length = sizeof(pci_cap),
	  .read = read_window,
	  .written = write_window },
	MINIVMM_END,
};

const struct minivmm_register virtio_pci_registers[] = {
	{ DEVICE_FEATURE_SELECT, "device_feature_select", "device_feature_select" },
	{ DEVICE_FEATURE, "device_feature", NULL },
	{ DRIVER_FEATURE_SELECT, "driver_feature_select", "driver_feature_select" },
	{ DRIVER_FEATURE, "driver_feature", "driver_feature" },
	{ CONFIG_MSIX_VECTOR, "config_msix_vector", "config_msix_vector" },
	{ NUM_QUEUES, "num_queues", NULL },
	{ DEVICE_STATUS, "device_status", "device_status" },
	{ CONFIG_GENERATION, "config_generation", NULL },
	{ QUEUE_SELECT, "queue_select", "queue_select" },
	{ QUEUE_SIZE, "queue_size", "queue_size" },
	{ QUEUE_MSIX_VECTOR, "queue_msix_vector", "queue_msix_vector" },
	{ QUEUE_ENABLE, "queue_enable", "queue_enable" },
	{ QUEUE_NOTIFY_OFF, "queue_notify_off", NULL },
	{ QUEUE_DESC, "queue_desc", "queue_desc" },
	{ QUEUE_DRIVER, "queue_driver", "queue_driver" },
	{ QUEUE_DEVICE, "queue_device", "queue_device" },
	{ VIRTIO_PCI_ISR, "ISR status", NULL },
	{ VIRTIO_PCI_NOTIFY, NULL, "notify queue 0" },
	MINIVMM_END,
};
