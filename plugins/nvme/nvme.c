/* SPDX-License-Identifier: BSD-2-Clause */
/* An NVMe controller: registers (NVM Express 1.4, section 3.1), enabling, reset and shutdown. */
#include "nvme.h"

enum nvme_register {
	REGISTER_CAP = 0x00,
	REGISTER_CAP_HIGH = 0x04,
	REGISTER_VS = 0x08,
	REGISTER_INTMS = 0x0c,
	REGISTER_INTMC = 0x10,
	REGISTER_CC = 0x14,
	REGISTER_CSTS = 0x1c,
	REGISTER_AQA = 0x24,
	REGISTER_ASQ = 0x28,
	REGISTER_ASQ_HIGH = 0x2c,
	REGISTER_ACQ = 0x30,
	REGISTER_ACQ_HIGH = 0x34,
};

/* CAP: queues of NVME_ENTRIES, contiguous; enabling takes at most 10 s; doorbells of 4 bytes. */
#define CAP_LOW ((NVME_ENTRIES - 1) | 1u << 16 | 20u << 24)
#define CAP_HIGH (1u << 5) /* the NVM command set */
/* Page size, command set and arbitration, which must be 0. */
#define CC_SELECTED 0x3ff0u
#define AQA_SIZES 0x0fff0fffu
#define SIZE(aqa) (((aqa)&0xfff) + 1)

static void
set_half(uint64_t *address, uint32_t value, bool high)
{
	*address = high ? (uint32_t)*address | (uint64_t)value << 32
			: (*address >> 32 << 32) | (value & ~(NVME_PAGE - 1));
}

void
nvme_fatal(struct minivmm_device *dev, const char *why)
{
	struct nvme *n = minivmm_state(dev);

	if (!(n->csts & CSTS_FATAL))
		minivmm_log(dev, MINIVMM_WARNING,
			    "%s: the controller stops until the driver resets it", why);
	n->csts |= CSTS_FATAL;
}

static void
enable(struct minivmm_device *dev, struct nvme *n)
{
	uint32_t sq = SIZE(n->aqa), cq = SIZE(n->aqa >> 16);

	if (n->cc & CC_SELECTED || sq < 2 || sq > NVME_ENTRIES || cq < 2 || cq > NVME_ENTRIES) {
		nvme_fatal(dev, "the driver enables it with a page size, a command set or sizes of "
				"admin queues that it does not have");
		return;
	}
	nvme_set_cq(n, 0, n->acq, cq);
	nvme_set_sq(n, 0, n->asq, sq, 0);
	n->cq_interrupts[0] = true;
	n->csts |= CSTS_READY;
}

/* A reset of the controller: the addresses of the admin queues stay. */
static void
disable(struct minivmm_device *dev, struct nvme *n)
{
	block_reset(dev);
	n->flushing = false;
	n->csts = 0;
	n->intms = 0;
	nvme_drop_queues(dev);
	nvme_default_features(n);
}

static void
write_cc(struct minivmm_device *dev, struct nvme *n, uint32_t value)
{
	uint32_t changed = n->cc ^ value;

	n->cc = value;
	if (changed & CC_ENABLE && value & CC_ENABLE)
		enable(dev, n);
	else if (changed & CC_ENABLE)
		disable(dev, n);
	if (!(changed & CC_SHUTDOWN))
		return;
	n->csts &= ~(uint32_t)(CSTS_SHUTTING | CSTS_SHUT);
	if (!(value & CC_SHUTDOWN))
		return;
	n->csts |= CSTS_SHUTTING;
	nvme_take(dev);
}

static uint32_t
read_register(const struct nvme *n, uint64_t offset)
{
	switch (offset) {
	case REGISTER_CAP:
		return CAP_LOW;
	case REGISTER_CAP_HIGH:
		return CAP_HIGH;
	case REGISTER_VS:
		return NVME_VERSION;
	case REGISTER_INTMS:
	case REGISTER_INTMC:
		return n->intms;
	case REGISTER_CC:
		return n->cc;
	case REGISTER_CSTS:
		return n->csts;
	case REGISTER_AQA:
		return n->aqa;
	case REGISTER_ASQ:
		return (uint32_t)n->asq;
	case REGISTER_ASQ_HIGH:
		return (uint32_t)(n->asq >> 32);
	case REGISTER_ACQ:
		return (uint32_t)n->acq;
	case REGISTER_ACQ_HIGH:
		return (uint32_t)(n->acq >> 32);
	default:
		return 0;
	}
}

static void
write_register(struct minivmm_device *dev, struct nvme *n, uint64_t offset, uint32_t value)
{
	switch (offset) {
	case REGISTER_INTMS:
	case REGISTER_INTMC:
		n->intms = offset == REGISTER_INTMS ? n->intms | value : n->intms & ~value;
		nvme_update_pin(dev);
		break;
	case REGISTER_CC:
		write_cc(dev, n, value);
		break;
	case REGISTER_AQA:
		n->aqa = value & AQA_SIZES;
		break;
	case REGISTER_ASQ:
	case REGISTER_ASQ_HIGH:
		set_half(&n->asq, value, offset == REGISTER_ASQ_HIGH);
		break;
	case REGISTER_ACQ:
	case REGISTER_ACQ_HIGH:
		set_half(&n->acq, value, offset == REGISTER_ACQ_HIGH);
		break;
	default:
		if (offset >= NVME_DOORBELLS)
			nvme_doorbell(dev, (uint32_t)(offset - NVME_DOORBELLS) / 4, value);
	}
}

static int
nvme_read(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t *value)
{
	const struct nvme *n = minivmm_state(dev);

	*value = read_register(n, a->offset);
	if (a->width == 8)
		*value |= (uint64_t)read_register(n, a->offset + 4) << 32;
	return 0;
}

static int
nvme_write(struct minivmm_device *dev, const struct minivmm_access *a, uint64_t value)
{
	struct nvme *n = minivmm_state(dev);

	write_register(dev, n, a->offset, (uint32_t)value);
	if (a->width == 8)
		write_register(dev, n, a->offset + 4, (uint32_t)(value >> 32));
	return 0;
}

static int
nvme_reset(struct minivmm_device *dev)
{
	struct nvme *n = minivmm_state(dev);

	disable(dev, n);
	n->cc = n->aqa = 0;
	n->asq = n->acq = 0;
	return 0;
}

static const struct block_front front = {
	.job_size = sizeof(struct nvme_request),
	.done_post = NVME_POST_DONE,
	.ring_watch = NVME_WATCH_RING,
	.rate_timer = NVME_TIMER_RATE,
	.take = nvme_take,
	.complete = nvme_complete,
	.hold = nvme_hold,
	.again = nvme_again_held,
};

struct block *
block_of(struct minivmm_device *dev)
{
	struct nvme *n = minivmm_state(dev);

	return &n->block;
}

static int
nvme_configure(struct minivmm_device *dev)
{
	struct nvme *n = minivmm_state(dev);

	for (uint32_t i = 0; n->serial[i]; i++)
		if (i == 20 || n->serial[i] < ' ' || n->serial[i] > '~') {
			minivmm_error(dev,
				      "serial = %s is not valid; use at most 20 printable "
				      "characters of ASCII",
				      n->serial);
			return -1;
		}
	return block_configure(dev, &front);
}

static int
nvme_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	int r = block_start(dev, start);

	if (start->reason == MINIVMM_FRESH)
		nvme_default_features(minivmm_state(dev));
	for (uint32_t sq = 1; sq < NVME_IDS; sq++) /* as the snapshot says it */
		nvme_end_delete(dev, sq);
	return r ? r : block_resume(dev);
}

static const struct minivmm_option options[] = {
	BLOCK_OPTIONS(struct nvme),
	MINIVMM_OPTION(struct nvme, queues, "4",
		       "number of I/O queues: the guest can use one for each vCPU", .min = 1,
		       .max = NVME_QUEUES),
	BLOCK_RATE_OPTIONS(struct nvme),
	MINIVMM_OPTION(struct nvme, serial, "",
		       "serial number, at most 20 characters; default: the device's name"),
	MINIVMM_END,
};

static const struct minivmm_register registers[] = {
	{ REGISTER_CAP, "CAP", NULL },
	{ REGISTER_VS, "VS", NULL },
	{ REGISTER_INTMS, "INTMS", "INTMS" },
	{ REGISTER_INTMC, "INTMC", "INTMC" },
	{ REGISTER_CC, "CC", "CC" },
	{ REGISTER_CSTS, "CSTS", NULL },
	{ REGISTER_AQA, "AQA", "AQA" },
	{ REGISTER_ASQ, "ASQ", "ASQ" },
	{ REGISTER_ACQ, "ACQ", "ACQ" },
	{ NVME_DOORBELLS, NULL, "SQ0TDBL" },
	{ NVME_DOORBELLS + 4, NULL, "CQ0HDBL" },
	{ NVME_DOORBELLS + 8, NULL, "SQ1TDBL" },
	{ NVME_DOORBELLS + 12, NULL, "CQ1HDBL" },
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = {
	{ .space = MINIVMM_MMIO,
	  .length = NVME_REGISTERS,
	  .widths = MINIVMM_W32 | MINIVMM_W64,
	  .read = nvme_read,
	  .write = nvme_write,
	  .registers = registers,
	  .help = "registers and doorbells" },
	MINIVMM_END,
};

static const struct minivmm_bar bars[] = {
	{ .type = MINIVMM_BAR_MEMORY64, .number = 0, .range = 0 },
	MINIVMM_END,
};

/* The ID is one that Linux has no quirks for: QEMU's controller is used without write zeroes. */
static const struct minivmm_pci pci[] = {
	{ .slot = "slot",
	  .slot_initial = "next",
	  .vendor = NVME_PCI_VENDOR,
	  .device = 0x10f0,
	  .subsystem_vendor = NVME_PCI_VENDOR,
	  .subsystem = 0x1100,
	  .class_code = 0x010802,
	  .revision = 1,
	  .has_intx = true,
	  .bars = bars,
	  .vectors = NVME_IDS,
	  .vectors_offset = offsetof(struct nvme, messages),
	  .intx_offset = offsetof(struct nvme, pin),
	  .reset = nvme_reset,
	  .help = "PCI slot" },
	MINIVMM_END,
};

static const struct minivmm_post posts[] = {
	[NVME_POST_AGAIN] = { .name = "again",
			      .run = nvme_again,
			      .help = "takes commands after a large number of them" },
	[NVME_POST_DONE] = BLOCK_POST,
	MINIVMM_END,
};
static const struct minivmm_watch watches[] = { [NVME_WATCH_RING] = BLOCK_WATCH, MINIVMM_END };
static const struct minivmm_timer timers[] = { [NVME_TIMER_RATE] = BLOCK_TIMER, MINIVMM_END };

#define FIELD(member, ...) MINIVMM_FIELD(struct nvme, member, __VA_ARGS__)
#define HELD(member, ...) BLOCK_HELD_MEMBER(struct nvme, member, 1, __VA_ARGS__)
static const struct minivmm_field fields[] = {
	FIELD(cc, .help = "CC"),
	FIELD(csts, .max = CSTS_READY | CSTS_FATAL | CSTS_SHUTTING | CSTS_SHUT, .help = "CSTS"),
	FIELD(aqa, .max = AQA_SIZES, .help = "AQA"),
	FIELD(intms, .help = "interrupts that are masked, by vector"),
	FIELD(asq, .help = "ASQ"),
	FIELD(acq, .help = "ACQ"),
	FIELD(shadow, .since = 2, .help = "address of the doorbells in memory; 0: none"),
	FIELD(shadow_events, .since = 2, .help = "address of their event indices"),
	FIELD(sq_base, .help = "by submission queue: address"),
	FIELD(sq_size, .max = NVME_ENTRIES, .help = "entries; 0: it does not exist"),
	FIELD(sq_head, .max = NVME_ENTRIES - 1, .help = "next entry that the controller takes"),
	FIELD(sq_tail, .max = NVME_ENTRIES - 1, .help = "its doorbell"),
	FIELD(sq_cq, .max = NVME_IDS - 1, .help = "its completion queue"),
	FIELD(sq_deleting, .help = "its deletion waits for its commands"),
	FIELD(delete_cid, .help = "the command that deletes it"),
	FIELD(cq_base, .help = "by completion queue: address"),
	FIELD(cq_size, .max = NVME_ENTRIES, .help = "entries; 0: it does not exist"),
	FIELD(cq_head, .max = NVME_ENTRIES - 1, .help = "its doorbell"),
	FIELD(cq_tail, .max = NVME_ENTRIES - 1, .help = "next entry that the controller posts"),
	FIELD(cq_phase, .help = "phase of the next entry"),
	FIELD(cq_interrupts, .help = "interrupts are enabled"),
	FIELD(cq_vector, .max = NVME_IDS - 1, .help = "interrupt vector"),
	FIELD(features, .help = "values of features, by identifier"),
	FIELD(uncoalesced, .max = (1u << NVME_IDS) - 1,
	      .help = "vectors without coalescing of interrupts"),
	MINIVMM_FIELD_COUNTED(struct nvme, event_cids, event_count,
			      .help = "async event requests that wait"),
	FIELD(events, .max = EVENT_DOORBELL | EVENT_DOORBELL_VALUE, .help = "events to report"),
	FIELD(events_reported, .max = EVENT_DOORBELL | EVENT_DOORBELL_VALUE,
	      .help = "events whose log page the driver has yet to read"),
	FIELD(bytes_read, .help = "SMART: bytes that the guest has read"),
	FIELD(bytes_written, .help = "bytes that it has written"),
	FIELD(reads, .help = "read commands"),
	FIELD(writes, .help = "write commands"),
	FIELD(media_errors, .help = "errors of the disk"),
	FIELD(errors, .help = "commands that have failed"),
	FIELD(error_log, .help = "error log, newest entry first"),
	BLOCK_FIELDS(struct nvme),
	HELD(held_queues, .help = "commands that the pause has interrupted: queues"),
	HELD(held_cdw0, .help = "the same: opcode, flags, identifier, namespace"),
	HELD(held_prp1, .help = "the same: PRP entry 1"),
	HELD(held_prp2, .help = "the same: PRP entry 2"),
	HELD(held_cdw10, .help = "the same: command dwords 10 and 11"),
	HELD(held_cdw12, .help = "the same: command dword 12"),
	BLOCK_HELD_DONE(struct nvme, 1),
	MINIVMM_END,
};

static const struct minivmm_plugin nvme = {
	.name = "nvme",
	.summary = "an NVMe disk",
	.state_version = 2,
	.state_size = sizeof(struct nvme),
	.options = options,
	.ranges = ranges,
	.pci = pci,
	.timers = timers,
	.watches = watches,
	.posts = posts,
	.fields = fields,
	.configure = nvme_configure,
	.start = nvme_start,
	.pause = block_pause,
	.resume = block_resume,
	.stop = block_stop,
	.destroy = block_destroy,
	.loaded = nvme_queues_loaded,
	.capture = block_capture,
};
MINIVMM_REGISTER(nvme, MINIVMM_HAS_PCI);
