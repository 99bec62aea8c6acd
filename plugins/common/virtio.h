/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device (virtio 1.2) on the MMIO transport (section 4.2) or, if the config gives it a
 * slot, on PCI (section 4.1). queue.h has the split virtqueues (section 2.7), with indirect
 * descriptors and event indices. A plugin embeds struct virtio in its state as the first member,
 * named virtio. It takes requests with virtio_pop() and returns them with virtio_push().
 *
 * The driver owns the rings and buffers in guest memory and may change them at any time. Copy them
 * before you check them. After an invalid request, the device sets DEVICE_NEEDS_RESET and ignores
 * the driver until a reset.
 */
#ifndef PLUGINS_COMMON_VIRTIO_H
#define PLUGINS_COMMON_VIRTIO_H

#include <minivmm/plugin.h>

#define VIRTIO_QUEUES 9            /* maximum per device: four pairs and a control queue */
#define VIRTIO_QUEUE_MAX 256       /* descriptors per queue, and segments per request */
#define VIRTIO_CONFIG_BYTES 0x100u /* of the device configuration */
#define VIRTIO_LENGTH 0x200        /* of the MMIO range: registers, then the device configuration */
#define VIRTIO_NO_VECTOR 0xffffu

/* The BAR of the PCI transport. */
#define VIRTIO_PCI_RANGE 1 /* its row in the table of ranges */
#define VIRTIO_PCI_ISR 0x1000u
#define VIRTIO_PCI_CONFIG 0x2000u
#define VIRTIO_PCI_NOTIFY 0x3000u
#define VIRTIO_PCI_NOTIFY_STEP 4u
#define VIRTIO_PCI_LENGTH 0x4000u

/* Feature bits, named as in the specification. */
#define VIRTIO_F_INDIRECT_DESC (1ull << 28)
#define VIRTIO_F_EVENT_IDX (1ull << 29)
#define VIRTIO_F_VERSION_1 (1ull << 32)
#define VIRTIO_FEATURES (VIRTIO_F_INDIRECT_DESC | VIRTIO_F_EVENT_IDX | VIRTIO_F_VERSION_1)

/*
 * A device type. Constant, owned by the plugin. The callbacks follow the thread rules of plugin.h.
 */
struct virtio_kind {
	uint32_t id;     /* device ID of section 5: 1 network, 2 block... */
	uint32_t queues; /* at most VIRTIO_QUEUES */
	uint64_t (*features)(struct minivmm_device *dev); /* of the device type; NULL: none */
	/* The driver has notified the queue, or the queue is processed again. Takes requests until
	 * virtio_pop() returns 0 or less. */
	int (*notify)(struct minivmm_device *dev, uint32_t queue);
	/* Writes the device configuration into 256 zeroed bytes. NULL: it is all zeros. */
	void (*config)(struct minivmm_device *dev, uint8_t *config);
	/* The driver has written to the configuration. NULL: writes are ignored. */
	void (*config_write)(struct minivmm_device *dev, uint64_t offset, uint32_t width,
			     uint64_t value);
	/* Returns ConfigGeneration. NULL: the configuration never changes. */
	uint32_t (*generation)(struct minivmm_device *dev);
	/* The driver has reset the device: drop all requests. NULL: nothing to do. */
	void (*reset)(struct minivmm_device *dev);
};

/* A device's state. A snapshot contains all members except the first five (VIRTIO_FIELDS). */
struct virtio {
	const struct virtio_kind *kind; /* set by the plugin's configure */
	struct minivmm_irq irq;         /* of the MMIO transport: an option, level-triggered */
	struct minivmm_irq pin;         /* of the PCI transport; set by the core, like messages */
	struct minivmm_irq messages[VIRTIO_QUEUES + 1];
	uint32_t budget; /* requests to take before the thread does other work */
	uint32_t status, interrupts, device_sel, driver_sel, queue_sel;
	uint64_t driver_features;
	uint8_t ready[VIRTIO_QUEUES];
	uint16_t size[VIRTIO_QUEUES], last_avail_idx[VIRTIO_QUEUES],
	    used_idx[VIRTIO_QUEUES]; /* indices are free-running */
	uint64_t desc[VIRTIO_QUEUES], avail_ring[VIRTIO_QUEUES],
	    used_ring[VIRTIO_QUEUES]; /* guest physical */
	/*
	 * The driver has notified the queue, and the device has not found it empty since. A queue
	 * that is not pending is not read, even if its avail ring has entries: the driver must
	 * notify first.
	 */
	bool pending[VIRTIO_QUEUES];
	/* Indices into messages, or VIRTIO_NO_VECTOR: for changes of the configuration, and by
	 * queue. */
	uint16_t config_vector, vectors[VIRTIO_QUEUES];
};

#define VIRTIO_STATE 4u /* version of this state; a plugin's state_version is this or higher */
/* A saved member of struct virtio. item: its name in snapshots, which never changes. */
#define VIRTIO_FIELD_AS(structure, item, member, ...)                                              \
	{                                                                                          \
		.name = (item), .type = MINIVMM_FIELD_TYPE(struct virtio, member),                 \
		.offset =                                                                          \
		    (uint32_t)(offsetof(structure, virtio) + offsetof(struct virtio, member)),     \
		.count = MINIVMM_COUNT_OF(struct virtio, member), __VA_ARGS__                      \
	}
#define VIRTIO_FIELD(structure, member, ...)                                                       \
	VIRTIO_FIELD_AS(structure, #member, member, __VA_ARGS__)
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
	    VIRTIO_FIELD_AS(structure, "next", last_avail_idx,                                     \
			    .help = "by queue: last_avail_idx, the next entry of the avail ring"), \
	    VIRTIO_FIELD_AS(structure, "used", used_idx,                                           \
			    .help = "by queue: used_idx, the next entry of the used ring"),        \
	    VIRTIO_FIELD(structure, desc, .help = "by queue: address of the descriptor table"),    \
	    VIRTIO_FIELD_AS(structure, "avail", avail_ring,                                        \
			    .help = "by queue: address of the avail ring"),                        \
	    VIRTIO_FIELD_AS(structure, "ring", used_ring,                                          \
			    .help = "by queue: address of the used ring"),                         \
	    VIRTIO_FIELD(structure, pending, .since = 2, .initial = 1,                             \
			 .help = "by queue: notified, and not yet found empty"),                   \
	    VIRTIO_FIELD(structure, config_vector, .since = 4, .initial = VIRTIO_NO_VECTOR,        \
			 .help = "config_msix_vector"),                                            \
	    VIRTIO_FIELD(structure, vectors, .since = 4, .initial = VIRTIO_NO_VECTOR,              \
			 .help = "by queue: queue_msix_vector")

/* The options, the ranges and the PCI function that each virtio device has. */
#define VIRTIO_OPTIONS(structure)                                                                  \
	{                                                                                          \
		.name = "irq", .type = MINIVMM_IRQ,                                                \
		.offset = (uint32_t)(offsetof(structure, virtio) + offsetof(struct virtio, irq)),  \
		.help = "interrupt line, which devices may share; not in a slot",                  \
		.flags = MINIVMM_NO_SLOT                                                           \
	}
#define VIRTIO_RANGES                                                                              \
	{ .space = MINIVMM_MMIO,                                                                   \
	  .at = "address",                                                                         \
	  .length = VIRTIO_LENGTH,                                                                 \
	  .flags = MINIVMM_NO_SLOT,                                                                \
	  .read = virtio_read,                                                                     \
	  .write = virtio_write,                                                                   \
	  .registers = virtio_registers,                                                           \
	  .help = "address of the registers; not in a slot" },                                     \
	{                                                                                          \
		.space = MINIVMM_MMIO, .length = VIRTIO_PCI_LENGTH, .read = virtio_pci_read,       \
		.write = virtio_pci_write, .registers = virtio_pci_registers,                      \
		.help = "registers of the PCI transport"                                           \
	}
/* type: the device ID; class_: its PCI class; queues: their maximum number. */
#define VIRTIO_PCI(structure, type, class_, queues)                                                \
	{                                                                                          \
		.slot = "slot", .slot_initial = "none", .vendor = 0x1af4,                          \
		.device = 0x1040 + (type), .subsystem_vendor = 0x1af4, .subsystem = 0x1100,        \
		.class_code = (class_), .revision = 1, .has_intx = true, .bars = virtio_bars,      \
		.vectors = (queues) + 1,                                                           \
		.vectors_offset =                                                                  \
		    (uint32_t)(offsetof(structure, virtio) + offsetof(struct virtio, messages)),   \
		.intx_offset =                                                                     \
		    (uint32_t)(offsetof(structure, virtio) + offsetof(struct virtio, pin)),        \
		.reset = virtio_pci_reset, .help = "PCI slot, instead of address and irq",         \
		.capabilities = virtio_capabilities                                                \
	}

/* The ACPI id by which Linux's virtio-mmio driver finds the device. */
extern const struct minivmm_acpi virtio_acpi[];

/* The registers of section 4.2.2. */
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

extern const struct minivmm_register virtio_registers[]; /* for VIRTIO_RANGES */

enum virtio_status {
	VIRTIO_DRIVER_OK = 4,
	VIRTIO_FEATURES_OK = 8,
	VIRTIO_NEEDS_RESET = 64,
};

#define VIRTIO_INTERRUPT_USED 1u
#define VIRTIO_INTERRUPT_CONFIG 2u

/* Interrupts for used buffers of a queue. */
void virtio_interrupt(struct minivmm_device *dev, struct virtio *v, uint32_t queue);
/* Interrupts for a change of the device configuration or of the status. */
void virtio_interrupt_config(struct minivmm_device *dev, struct virtio *v);
static inline bool
virtio_in_slot(const struct virtio *v)
{
	return v->pin.handle;
}

static inline bool
virtio_has_vector(const struct virtio *v, uint32_t vector)
{
	return vector <= VIRTIO_QUEUES && v->messages[vector].handle;
}

/* The driver has violated the specification. Logs the reason, sets DEVICE_NEEDS_RESET and notifies
 * the driver. The device does nothing more until the driver resets it. */
void virtio_broken(struct minivmm_device *dev, struct virtio *v, const char *why);

static inline bool
virtio_has(const struct virtio *v, uint64_t feature)
{
	return v->driver_features & feature;
}

/* Returns whether the device may take requests from the queue. */
static inline bool
virtio_live(const struct virtio *v, uint32_t queue)
{
	return v->status & VIRTIO_DRIVER_OK && !(v->status & VIRTIO_NEEDS_RESET) && v->ready[queue];
}

/* Returns the features that the device offers: those of the transport and of the device type. */
uint64_t virtio_offered(struct minivmm_device *dev, const struct virtio *v);

/*
 * Processes all pending queues with a new budget. Call it after a restore and when the device can
 * continue; it is also the post that follows an exhausted budget. Returns 0, or -1 after an error.
 *
 * The budget bounds one turn. Without it, a driver that adds requests as fast as the device serves
 * them, or a device that writes its own avail ring, would occupy the thread forever.
 */
#define VIRTIO_BUDGET 1024u
int virtio_process_pending(struct minivmm_device *dev, uint32_t post);
extern const struct minivmm_post
    virtio_posts[]; /* row 0 is virtio_process_pending, which virtio_pop() posts */

/*
 * Notifications by ioeventfd. The plugin's table of watches begins with VIRTIO_WATCHES, and its
 * start calls virtio_ioeventfds(), which returns 0, or -1 after an error. Use this for a device
 * whose notify only passes requests to another thread: the notifying vCPU does not wait.
 */
#define VIRTIO_WATCH(n)                                                                            \
	{                                                                                          \
		.name = "queue" #n, .ready = virtio_queue_ready, .help = "requests of queue " #n   \
	}
#define VIRTIO_WATCHES VIRTIO_WATCH(0), VIRTIO_WATCH(1), VIRTIO_WATCH(2), VIRTIO_WATCH(3)

int virtio_queue_ready(struct minivmm_device *dev, uint32_t queue, uint32_t events);
int virtio_ioeventfds(struct minivmm_device *dev);

/* For VIRTIO_PCI and its row in VIRTIO_RANGES. */
extern const struct minivmm_bar virtio_bars[];
extern const struct minivmm_capability virtio_capabilities[];
extern const struct minivmm_register virtio_pci_registers[];
int virtio_pci_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value);
int virtio_pci_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value);
int virtio_pci_reset(struct minivmm_device *dev);

/* For VIRTIO_RANGES. Registers are 4 bytes wide: a read of another width returns 0, and a write of
 * another width is ignored. */
int virtio_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value);
int virtio_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t wide);

/* For the plugin's loaded, or called by it. Checks the loaded state, which is untrusted. Returns 0,
 * or -1 after minivmm_error(). */
int virtio_loaded(struct minivmm_device *dev);

#endif
