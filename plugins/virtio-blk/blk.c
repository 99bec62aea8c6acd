/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk (virtio 1.2, section 5.2): a file or block device of the host, or an NBD export, with
 * overlays on it.
 */
#include <string.h>

#include "blk.h"

#define BLK_STATE VIRTIO_STATE /* 3: held requests */

/* Checks that a request has a header and a status byte. */
static bool
blk_whole(struct minivmm_device *dev, const struct virtio_request *request)
{
	struct blk *b = minivmm_state(dev);

	if (request->in_bytes && request->out_bytes >= 16)
		return true;
	virtio_broken(dev, &b->virtio, "a request has no header or no status byte");
	return false;
}

/* Takes requests from a queue as long as the disk admits them. */
static void
blk_take(struct minivmm_device *dev, uint32_t queue)
{
	struct blk *b = minivmm_state(dev);
	struct blk_request *r;

	while (block_admits(&b->block) && (r = (struct blk_request *)block_job(&b->block))) {
		bool execute;

		r->queue = queue;
		if (virtio_pop(dev, &b->virtio, queue, &r->request) <= 0 ||
		    !blk_whole(dev, &r->request)) {
			block_spare(&b->block, &r->job);
			break;
		}
		execute = request_begin(dev, r);
		if (execute && r->job.range_count) /* virtio_pop() does not know what it clears */
			virtio_spend(&b->virtio, block_bytes(&r->job) / VIRTIO_TURN_BYTES);
		block_begin(&b->block, &r->job, execute);
	}
}

static int
blk_notify(struct minivmm_device *dev, uint32_t queue)
{
	struct blk *b = minivmm_state(dev);

	do
		blk_take(dev, queue);
	while (block_submit(&b->block));
	return 0;
}

static int
blk_take_all(struct minivmm_device *dev)
{
	return virtio_process_pending(dev, 0);
}

static void
blk_hold(struct minivmm_device *dev, const struct block_job *job, uint32_t i)
{
	const struct blk_request *r = (const struct blk_request *)job;
	struct blk *b = minivmm_state(dev);

	b->held_queues[i] = (uint8_t)r->queue;
	b->held_heads[i] = r->request.head;
}

static int
blk_again(struct minivmm_device *dev, struct block_job *job, uint32_t i)
{
	struct blk_request *r = (struct blk_request *)job;
	struct blk *b = minivmm_state(dev);

	r->queue = b->held_queues[i];
	if (!virtio_live(&b->virtio, r->queue) ||
	    virtio_again(dev, &b->virtio, r->queue, b->held_heads[i], &r->request) ||
	    !blk_whole(dev, &r->request))
		return -1;
	return request_begin(dev, r);
}

static uint64_t
blk_features(struct minivmm_device *dev)
{
	const struct blk *b = minivmm_state(dev);

	return BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | (b->queues > 1 ? BLK_F_MQ : 0) |
	       (b->block.readonly ? BLK_F_RO : BLK_F_DISCARD | BLK_F_WRITE_ZEROES);
}

/* struct virtio_blk_config, section 5.2.4. */
static void
blk_config(struct minivmm_device *dev, uint8_t *config)
{
	const struct blk *b = minivmm_state(dev);
	const uint32_t seg_max = VIRTIO_QUEUE_MAX - 2, size = BLOCK_SECTOR, range = RANGE_SECTORS,
		       ranges = RANGES;

	memcpy(config, &(uint64_t){ b->block.bytes / BLOCK_SECTOR }, 8);
	memcpy(config + 12, &seg_max, 4);
	memcpy(config + 20, &size, 4);
	memcpy(config + 34, &b->queues, 2);
	memcpy(config + 36, &range, 4);
	memcpy(config + 40, &ranges, 4);
	memcpy(config + 44, &(uint32_t){ 1 }, 4); /* discard_sector_alignment */
	memcpy(config + 48, &range, 4);
	memcpy(config + 52, &ranges, 4);
	config[56] = 1; /* write_zeroes_may_unmap */
}

#define KIND(n)                                                                                    \
	{                                                                                          \
		.id = 2, .queues = (n), .features = blk_features, .config = blk_config,            \
		.notify = blk_notify, .reset = block_reset                                         \
	}
static const struct virtio_kind kinds[BLK_QUEUES] = { KIND(1), KIND(2), KIND(3), KIND(4) };

static const struct block_front blk_front = {
	.job_size = sizeof(struct blk_request),
	.done_post = BLK_POST_DONE,
	.ring_watch = BLK_WATCH_RING,
	.rate_timer = BLK_TIMER_RATE,
	.take = blk_take_all,
	.complete = request_complete,
	.hold = blk_hold,
	.again = blk_again,
};

struct block *
block_of(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	return &b->block;
}

static int
blk_configure(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	b->virtio.kind = &kinds[b->queues - 1];
	return block_configure(dev, &blk_front);
}

static int
blk_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct blk *b = minivmm_state(dev);
	int r = block_start(dev, start);

	if (!r && block_binds(&b->block) && start->reason != MINIVMM_RESET)
		r = virtio_ioeventfds(dev);
	return r ? r : block_resume(dev);
}

static const struct minivmm_option options[] = {
	VIRTIO_OPTIONS(struct blk),
	BLOCK_OPTIONS(struct blk),
	MINIVMM_OPTION(struct blk, queues, "1", "number of queues", .min = 1, .max = BLK_QUEUES),
	BLOCK_RATE_OPTIONS(struct blk),
	MINIVMM_OPTION(struct blk, serial, "", "serial number, at most 20 characters"),
	MINIVMM_END,
};

static const struct minivmm_post posts[] = {
	{ .name = "again", .run = virtio_process_pending, .help = "processes pending queues" },
	[BLK_POST_DONE] = BLOCK_POST,
	MINIVMM_END,
};
static const struct minivmm_watch watches[] = {
	VIRTIO_WATCHES,
	[BLK_WATCH_RING] = BLOCK_WATCH,
	MINIVMM_END,
};
static const struct minivmm_timer timers[] = {
	[BLK_TIMER_RATE] = BLOCK_TIMER,
	MINIVMM_END,
};
static const struct minivmm_range ranges[] = { VIRTIO_RANGES, MINIVMM_END };
static const struct minivmm_pci pci[] = { VIRTIO_PCI(struct blk, 2, 0x010000, VIRTIO_QUEUES),
					  MINIVMM_END };
static const struct minivmm_field fields[] = {
	VIRTIO_FIELDS(struct blk),
	BLOCK_FIELDS(struct blk),
	BLOCK_HELD_MEMBER(struct blk, held_queues, 3, .max = BLK_QUEUES - 1,
			  .help = "requests that the pause has interrupted: queues"),
	BLOCK_HELD_MEMBER(struct blk, held_heads, 3, .max = VIRTIO_QUEUE_MAX - 1,
			  .help = "the same: heads of their descriptor chains"),
	BLOCK_HELD_DONE(struct blk, 3),
	MINIVMM_END,
};

static const struct minivmm_plugin blk = {
	.name = "virtio-blk",
	.summary = "a virtio disk",
	.state_version = BLK_STATE,
	.state_size = sizeof(struct blk),
	.options = options,
	.ranges = ranges,
	.pci = pci,
	.timers = timers,
	.watches = watches,
	.posts = posts,
	.fields = fields,
	.configure = blk_configure,
	.start = blk_start,
	.pause = block_pause,
	.resume = block_resume,
	.stop = block_stop,
	.destroy = block_destroy,
	.loaded = virtio_loaded,
	.acpi = virtio_acpi,
	.capture = block_capture,
};
MINIVMM_REGISTER(blk, MINIVMM_HAS_PCI);
