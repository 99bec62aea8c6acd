/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every virtio device shares: the MMIO transport and split queues of virtio 1.2 (sections 4.2
 * and 2.7), with indirect descriptors and event indices. A plugin embeds struct virtio in its own
 * as the first member, virtio, takes requests with virtio_pop() and gives them back with
 * virtio_push().
 *
 * All that lies in guest memory is the driver's and may change at any time: it is copied before it
 * is checked, and what makes no sense costs the driver its device (DEVICE_NEEDS_RESET) until it
 * resets it.
 */
#ifndef PLUGINS_VIRTIO_H
#define PLUGINS_VIRTIO_H

#include <minivmm/plugin.h>
#include <string.h>

#define VIRTIO_QUEUES 9      /* four pairs, and one to control them */
#define VIRTIO_QUEUE_MAX 256 /* descriptors of a queue, and segments of a request */
#define VIRTIO_LENGTH                                                                              \
	0x200 /* of the range: registers, and 256 bytes of the device's configuration */

/* Features and descriptors' flags, by their names in the specification. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)
#define VIRTIO_FEATURES (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)

/* What a kind of device is. A plugin's constant. */
struct virtio_kind {
	uint32_t id;                                      /* section 5: 1 network, 2 block... */
	uint32_t queues;                                  /* at most VIRTIO_QUEUES */
	uint64_t (*features)(struct minivmm_device *dev); /* of its own; NULL: none */
	/* The queue has been notified, and there may be requests. */
	int (*notify)(struct minivmm_device *dev, uint32_t queue);
	/* The whole configuration into 256 zeroed bytes. NULL: none. */
	void (*config)(struct minivmm_device *dev, uint8_t *config);
	/* The driver writes to the configuration. NULL: that does nothing. */
	void (*config_write)(struct minivmm_device *dev, uint64_t offset, uint32_t width,
			     uint64_t value);
	/* Counts the changes of the configuration. NULL: it never changes. */
	uint32_t (*generation)(struct minivmm_device *dev);
	/* The driver has reset the device: requests are forgotten. NULL: nothing to do. */
	void (*reset)(struct minivmm_device *dev);
};

/* A device's state; all members but the first three are saved (VIRTIO_FIELDS). */
struct virtio {
	const struct virtio_kind *kind; /* set by configure */
	struct minivmm_irq irq;         /* option, level */
	uint32_t budget;                /* requests to take before others have their turn */
	uint32_t status, interrupts, device_sel, driver_sel, queue_sel;
	uint64_t driver_features;
	uint8_t ready[VIRTIO_QUEUES];
	uint16_t size[VIRTIO_QUEUES], next[VIRTIO_QUEUES],
	    used[VIRTIO_QUEUES]; /* indices count freely */
	uint64_t desc[VIRTIO_QUEUES], avail[VIRTIO_QUEUES],
	    ring[VIRTIO_QUEUES]; /* guest physical */
	/*
	 * The driver has notified, and the queue has not been seen to be empty since: there is more
	 * to take as soon as the device can. Otherwise it is not looked at before the driver
	 * notifies, whatever lies there already.
	 */
	bool pending[VIRTIO_QUEUES];
};

#define VIRTIO_STATE 2u /* the state's version: a plugin's own is that, or a later one */
#define VIRTIO_FIELD(structure, member, ...)                                                       \
	{                                                                                          \
		.name = #member, .type = MINIVMM_FIELD_TYPE(struct virtio, member),                \
		.offset =                                                                          \
		    (uint32_t)(offsetof(structure, virtio) + offsetof(struct virtio, member)),     \
		.count = MINIVMM_COUNT_OF(struct virtio, member), __VA_ARGS__                      \
	}
#define VIRTIO_FIELDS(structure)                                                                   \
	VIRTIO_FIELD(structure, status), VIRTIO_FIELD(structure, interrupts),                      \
	    VIRTIO_FIELD(structure, device_sel), VIRTIO_FIELD(structure, driver_sel),              \
	    VIRTIO_FIELD(structure, queue_sel), VIRTIO_FIELD(structure, driver_features),          \
	    VIRTIO_FIELD(structure, ready), VIRTIO_FIELD(structure, size),                         \
	    VIRTIO_FIELD(structure, next), VIRTIO_FIELD(structure, used),                          \
	    VIRTIO_FIELD(structure, desc), VIRTIO_FIELD(structure, avail),                         \
	    VIRTIO_FIELD(structure, ring),                                                         \
	    VIRTIO_FIELD(structure, pending, .since = 2, .initial = 1)

/* The options and the range that each has. */
#define VIRTIO_OPTIONS(structure)                                                                  \
	{                                                                                          \
		.name = "irq", .type = MINIVMM_IRQ,                                                \
		.offset = (uint32_t)(offsetof(structure, virtio) + offsetof(struct virtio, irq)),  \
		.help = "the interrupt line, which others may share"                               \
	}
#define VIRTIO_RANGE                                                                               \
	{                                                                                          \
		.space = MINIVMM_MMIO, .at = "address", .length = VIRTIO_LENGTH,                   \
		.read = virtio_read, .write = virtio_write, .registers = virtio_registers,         \
		.help = "where its registers are"                                                  \
	}

/* How it is found: as Linux's virtio-mmio driver looks for it. */
static const struct minivmm_acpi virtio_acpi[] = {
	{ .hid = "LNRO0005" },
	MINIVMM_END,
};

/* Section 4.2.2. */
enum virtio_register {
	VIRTIO_MAGIC = 0x000,
	VIRTIO_VERSION = 0x004,
	VIRTIO_DEVICE_ID = 0x008,
	VIRTIO_VENDOR_ID = 0x00c,
	VIRTIO_DEVICE_FEATURES = 0x010,
	VIRTIO_DEVICE_FEATURES_SEL = 0x014,
	VIRTIO_DRIVER_FEATURES = 0x020,
	VIRTIO_DRIVER_FEATURES_SEL = 0x024,
	VIRTIO_QUEUE_SEL = 0x030,
	VIRTIO_QUEUE_NUM_MAX = 0x034,
	VIRTIO_QUEUE_NUM = 0x038,
	VIRTIO_QUEUE_READY = 0x044,
	VIRTIO_QUEUE_NOTIFY = 0x050,
	VIRTIO_INTERRUPT_STATUS = 0x060,
	VIRTIO_INTERRUPT_ACK = 0x064,
	VIRTIO_STATUS = 0x070,
	VIRTIO_QUEUE_DESC_LOW = 0x080,
	VIRTIO_QUEUE_DESC_HIGH = 0x084,
	VIRTIO_QUEUE_DRIVER_LOW = 0x090,
	VIRTIO_QUEUE_DRIVER_HIGH = 0x094,
	VIRTIO_QUEUE_DEVICE_LOW = 0x0a0,
	VIRTIO_QUEUE_DEVICE_HIGH = 0x0a4,
	VIRTIO_CONFIG_GENERATION = 0x0fc,
	VIRTIO_CONFIG = 0x100,
};

static const struct minivmm_register virtio_registers[] = {
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

enum virtio_status {
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
};

#define VIRTIO_INTERRUPT_USED 1u
#define VIRTIO_INTERRUPT_CONFIG 2u

static inline void
virtio_interrupt(struct minivmm_device *dev, struct virtio *v, uint32_t why)
{
	v->interrupts |= why;
	minivmm_irq_raise(dev, &v->irq);
}

/* The driver has broken a rule: it loses the device until it resets it. */
static inline void
virtio_broken(struct minivmm_device *dev, struct virtio *v, const char *why)
{
	if (v->status & VIRTIO_NEEDS_RESET)
		return;
	minivmm_log(dev, MINIVMM_WARNING,
		    "the driver broke the rules, and must reset the device: %s", why);
	v->status |= VIRTIO_NEEDS_RESET;
	if (v->status & VIRTIO_DRIVER_OK)
		virtio_interrupt(dev, v, VIRTIO_INTERRUPT_CONFIG);
}

static inline bool
virtio_has(const struct virtio *v, uint64_t feature)
{
	return v->driver_features & feature;
}

/* Does the queue take requests now? */
static inline bool
virtio_live(const struct virtio *v, uint32_t queue)
{
	return v->status & VIRTIO_DRIVER_OK && !(v->status & VIRTIO_NEEDS_RESET) && v->ready[queue];
}

static inline uint64_t
virtio_offered(struct minivmm_device *dev, const struct virtio *v)
{
	return VIRTIO_FEATURES | (v->kind->features ? v->kind->features(dev) : 0);
}

/*
 * Goes on with the queues that are pending: after a restore, when a device has become able to go
 * on, and where it left off. A driver that makes requests faster than they are done, or a device
 * that writes its own ring, would hold the device for ever.
 */
#define VIRTIO_BUDGET 1024u
static inline int
virtio_again(struct minivmm_device *dev, uint32_t post)
{
	struct virtio *v = minivmm_state(dev);
	int r = 0;

	v->budget = VIRTIO_BUDGET;
	for (uint32_t q = 0; q < v->kind->queues && !r; q++)
		r = virtio_live(v, q) && v->pending[q] ? v->kind->notify(dev, q) : 0;
	return r;
}

/* The driver has notified. */
static inline int
virtio_notified(struct minivmm_device *dev, struct virtio *v, uint32_t queue)
{
	v->budget = VIRTIO_BUDGET;
	if (queue >= v->kind->queues || !virtio_live(v, queue))
		return 0;
	v->pending[queue] = true;
	return v->kind->notify(dev, queue);
}

static const struct minivmm_post virtio_posts[] = {
	{ .name = "again", .run = virtio_again, .help = "goes on with the queues" },
	MINIVMM_END,
};

/*
 * Notifications as events: rows for each queue, which come first in a table, and what start calls.
 * A device whose notify only hands on is better off so: its vCPU does not wait.
 */
static inline int
virtio_kicked(struct minivmm_device *dev, uint32_t queue, uint32_t events)
{
	return virtio_notified(dev, minivmm_state(dev), queue);
}

#define VIRTIO_WATCH(n)                                                                            \
	{                                                                                          \
		.name = "queue" #n, .ready = virtio_kicked, .help = "requests of queue " #n        \
	}
#define VIRTIO_WATCHES VIRTIO_WATCH(0), VIRTIO_WATCH(1), VIRTIO_WATCH(2), VIRTIO_WATCH(3)

static inline int
virtio_bind(struct minivmm_device *dev)
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

static inline void
virtio_reset(struct minivmm_device *dev, struct virtio *v)
{
	const struct virtio keep = { .kind = v->kind, .irq = v->irq };

	*v = keep;
	minivmm_irq_lower(dev, &v->irq);
	if (v->kind->reset)
		v->kind->reset(dev);
}

static inline uint64_t
virtio_config(struct minivmm_device *dev, const struct virtio *v, uint64_t offset, uint32_t width)
{
	uint8_t config[VIRTIO_LENGTH - VIRTIO_CONFIG + 8] = { 0 };
	uint64_t value = 0;

	if (v->kind->config)
		v->kind->config(dev, config);
	memcpy(&value, config + offset, width <= 8 ? width : 8);
	return value;
}

/* A read of the range. Registers are read by 4 bytes; what is none reads as 0. */
static inline int
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

static inline void
virtio_half(uint64_t *address, uint32_t value, bool high)
{
	*address = high ? (*address & UINT32_MAX) | (uint64_t)value << 32
			: (*address & ~(uint64_t)UINT32_MAX) | value;
}

/* A register of the selected queue, which is not in use. */
static inline void
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
			virtio_broken(dev, v, "a queue's size");
		break;
	case VIRTIO_QUEUE_READY:
		v->ready[q] = value == 1 && v->size[q];
		v->next[q] = v->used[q] = 0;
		v->pending[q] = false;
		break;
	case VIRTIO_QUEUE_DESC_LOW:
	case VIRTIO_QUEUE_DESC_HIGH:
		virtio_half(&v->desc[q], value, offset == VIRTIO_QUEUE_DESC_HIGH);
		break;
	case VIRTIO_QUEUE_DRIVER_LOW:
	case VIRTIO_QUEUE_DRIVER_HIGH:
		virtio_half(&v->avail[q], value, offset == VIRTIO_QUEUE_DRIVER_HIGH);
		break;
	case VIRTIO_QUEUE_DEVICE_LOW:
	case VIRTIO_QUEUE_DEVICE_HIGH:
		virtio_half(&v->ring[q], value, offset == VIRTIO_QUEUE_DEVICE_HIGH);
		break;
	}
}

static inline int
virtio_write_status(struct minivmm_device *dev, struct virtio *v, uint32_t value)
{
	bool live = v->status & VIRTIO_DRIVER_OK;

	if (!value) {
		virtio_reset(dev, v);
		return 0;
	}
	/* Section 2.2.2: what the driver wants that was not offered is refused. */
	if (value & VIRTIO_FEATURES_OK && !(v->status & VIRTIO_FEATURES_OK) &&
	    (v->driver_features & ~virtio_offered(dev, v) || !virtio_has(v, VIRTIO_F_VERSION_1)))
		value &= ~(uint32_t)VIRTIO_FEATURES_OK;
	if (!(value & VIRTIO_FEATURES_OK)) /* section 3.1.1: not without them */
		value &= ~(uint32_t)VIRTIO_DRIVER_OK;
	v->status =
	    (value & 0xff & ~(uint32_t)VIRTIO_NEEDS_RESET) | (v->status & VIRTIO_NEEDS_RESET);
	if (live || !(v->status & VIRTIO_DRIVER_OK))
		return 0;
	/* Some drivers fill a queue, and notify of it, before they are ready: Linux's balloon
	 * does. */
	memset(v->pending, true, sizeof(v->pending));
	return virtio_again(dev, 0);
}

/* A write to the range. Registers are written by 4 bytes. */
static inline int
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

/* A plugin's loaded: the state may come from anyone. */
static inline int
virtio_loaded(struct minivmm_device *dev)
{
	const struct virtio *v = minivmm_state(dev);

	for (uint32_t q = 0; q < VIRTIO_QUEUES; q++)
		if (v->size[q] > VIRTIO_QUEUE_MAX || v->size[q] & (v->size[q] - 1) ||
		    v->ready[q] > 1 || (v->ready[q] && !v->size[q])) {
			minivmm_error(dev, "queue %u has a size of %u, ready %u", q, v->size[q],
				      v->ready[q]);
			return -1;
		}
	return 0;
}

#endif
