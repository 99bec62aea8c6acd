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
#ifndef PLUGINS_COMMON_VIRTIO_H
#define PLUGINS_COMMON_VIRTIO_H

#include <minivmm/plugin.h>

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
	VIRTIO_FIELD(structure, status, .help = "device status"),                                  \
	    VIRTIO_FIELD(structure, interrupts, .help = "InterruptStatus"),                        \
	    VIRTIO_FIELD(structure, device_sel, .help = "DeviceFeaturesSel"),                      \
	    VIRTIO_FIELD(structure, driver_sel, .help = "DriverFeaturesSel"),                      \
	    VIRTIO_FIELD(structure, queue_sel, .help = "QueueSel"),                                \
	    VIRTIO_FIELD(structure, driver_features,                                               \
			 .help = "features that the driver has accepted"),                         \
	    VIRTIO_FIELD(structure, ready, .help = "by queue: QueueReady"),                        \
	    VIRTIO_FIELD(structure, size, .help = "by queue: QueueNum"),                           \
	    VIRTIO_FIELD(structure, next,                                                          \
			 .help = "by queue: the next entry of the available ring to process"),     \
	    VIRTIO_FIELD(structure, used,                                                          \
			 .help = "by queue: the next entry of the used ring to write"),            \
	    VIRTIO_FIELD(structure, desc, .help = "by queue: address of the descriptor table"),    \
	    VIRTIO_FIELD(structure, avail, .help = "by queue: address of the available ring"),     \
	    VIRTIO_FIELD(structure, ring, .help = "by queue: address of the used ring"),           \
	    VIRTIO_FIELD(structure, pending, .since = 2, .initial = 1,                             \
			 .help = "by queue: the driver has notified")

/* The options and the range that each has. */
#define VIRTIO_OPTIONS(structure)                                                                  \
	{                                                                                          \
		.name = "irq", .type = MINIVMM_IRQ,                                                \
		.offset = (uint32_t)(offsetof(structure, virtio) + offsetof(struct virtio, irq)),  \
		.help = "interrupt line; several devices can share it"                             \
	}
#define VIRTIO_RANGE                                                                               \
	{                                                                                          \
		.space = MINIVMM_MMIO, .at = "address", .length = VIRTIO_LENGTH,                   \
		.read = virtio_read, .write = virtio_write, .registers = virtio_registers,         \
		.help = "where the registers are"                                                  \
	}

/* How it is found: as Linux's virtio-mmio driver looks for it. */
extern const struct minivmm_acpi virtio_acpi[];

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

extern const struct minivmm_register virtio_registers[]; /* for VIRTIO_RANGE */

enum virtio_status {
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
};

#define VIRTIO_INTERRUPT_USED 1u
#define VIRTIO_INTERRUPT_CONFIG 2u

/* Sets bits of InterruptStatus and raises the line. */
void virtio_interrupt(struct minivmm_device *dev, struct virtio *v, uint32_t why);

/* The driver has broken a rule: it loses the device until it resets it. */
void virtio_broken(struct minivmm_device *dev, struct virtio *v, const char *why);

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

/* The features that the driver may take: the transport's and the kind's. */
uint64_t virtio_offered(struct minivmm_device *dev, const struct virtio *v);

/*
 * Goes on with the queues that are pending: after a restore, when a device has become able to go
 * on, and where it left off. A driver that makes requests faster than they are done, or a device
 * that writes its own ring, would hold the device for ever.
 */
#define VIRTIO_BUDGET 1024u
int virtio_again(struct minivmm_device *dev, uint32_t post);
extern const struct minivmm_post
    virtio_posts[]; /* the first is virtio_again: virtio_pop posts it */

/*
 * Notifications as events: VIRTIO_WATCHES come first in the plugin's table of watches, and start
 * calls virtio_bind. For a device whose notify only passes requests to another thread: the vCPU
 * that notifies does not wait.
 */
#define VIRTIO_WATCH(n)                                                                            \
	{                                                                                          \
		.name = "queue" #n, .ready = virtio_kicked, .help = "requests of queue " #n        \
	}
#define VIRTIO_WATCHES VIRTIO_WATCH(0), VIRTIO_WATCH(1), VIRTIO_WATCH(2), VIRTIO_WATCH(3)

int virtio_kicked(struct minivmm_device *dev, uint32_t queue, uint32_t events);
int virtio_bind(struct minivmm_device *dev);

/* For VIRTIO_RANGE. Accesses to registers have 4 bytes; others read 0 and write nothing. */
int virtio_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value);
int virtio_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t wide);

/* For a descriptor's loaded: checks the state, which may come from anyone. */
int virtio_loaded(struct minivmm_device *dev);

#endif
