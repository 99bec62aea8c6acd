/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk (virtio 1.2, section 5.2): a file or block device of the host, or an NBD export, with
 * overlays on it.
 */
#include <errno.h>
#include <minivmm/plugin.h>
#include <stdlib.h>
#include <string.h>

#include "blk.h"

enum { REFUSE, ACCEPT };

#define BLK_STATE VIRTIO_STATE /* 3: held requests */

static uint64_t
blk_features(struct minivmm_device *dev)
{
	const struct blk *b = minivmm_state(dev);

	return BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH | (b->queues > 1 ? BLK_F_MQ : 0) |
	       (b->readonly ? BLK_F_RO : BLK_F_DISCARD | BLK_F_WRITE_ZEROES);
}

/* struct virtio_blk_config, section 5.2.4. */
static void
blk_config(struct minivmm_device *dev, uint8_t *config)
{
	const struct blk *b = minivmm_state(dev);
	const uint32_t seg_max = VIRTIO_QUEUE_MAX - 2, size = SECTOR, range = RANGE_SECTORS,
		       ranges = RANGES;

	memcpy(config, &(uint64_t){ b->bytes / SECTOR }, 8);
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
		.notify = blk_notify, .reset = blk_reset                                           \
	}
static const struct virtio_kind kinds[BLK_QUEUES] = { KIND(1), KIND(2), KIND(3), KIND(4) };

static int
blk_configure(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	b->virtio.kind = &kinds[b->queues - 1];
	disk_init(&b->disk, dev, b->readonly);
	pthread_mutex_init(&b->workers.lock, NULL);
	pthread_cond_init(&b->workers.work, NULL);
	pthread_cond_init(&b->workers.idle, NULL);
	b->workers.last = &b->workers.first;
	if (rate_configure(dev, &b->limit, b->rate, b->burst))
		return -1;
	if (b->readonly + b->temporary + !!*b->overlay <= 1)
		return 0;
	minivmm_error(dev, "readonly, temporary and overlay exclude each other: each selects where "
			   "writes go; set only one");
	return -1;
}

static int
blk_open(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);
	bool above = *b->overlay || b->temporary;

	if (!b->readonly && *b->layers && !above) {
		minivmm_error(dev, "the layers belong to snapshots and cannot be written: set "
				   "overlay = FILE, temporary = yes or readonly = yes");
		return -1;
	}
	if (disk_open(&b->disk, b->path, b->layers, !b->readonly && !above))
		return -1;
	b->bytes = b->disk.bytes;
	b->changed_at = disk_changed(&b->disk);
	if (!above)
		return 0;
	return b->temporary ? disk_create_overlay(&b->disk, NULL)
			    : disk_open_overlay(&b->disk, b->overlay);
}

/* A restored machine writes to a new overlay, so that the snapshot can be restored again. */
static int
blk_restore(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	if (disk_open(&b->disk, b->path, b->layers, false))
		return -1;
	if (b->disk.bytes != b->bytes) {
		minivmm_error(
		    dev, "the disk %s has %llu bytes, but %llu in the snapshot: it is another disk",
		    b->path, (unsigned long long)b->disk.bytes, (unsigned long long)b->bytes);
		return -1;
	}
	if (b->changed == REFUSE && disk_changed(&b->disk) != b->changed_at) {
		minivmm_error(dev,
			      "the disk %s was modified after the snapshot, or is a copy; if its "
			      "content is the same, use --set device.%s.changed=accept",
			      b->path, dev->name);
		return -1;
	}
	b->origin = b->disk.count;
	return b->readonly ? 0 : disk_create_overlay(&b->disk, *b->overlay ? b->overlay : NULL);
}

static int
blk_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct blk *b = minivmm_state(dev);
	int r = 0;

	if (start->reason == MINIVMM_FRESH)
		r = blk_open(dev);
	else if (start->reason == MINIVMM_RESTORED)
		r = blk_restore(dev);
	else if (!b->readonly)
		r = disk_reset(&b->disk, b->origin);
	if (!r && b->io == IO_URING)
		r = ring_start(dev);
	if (!r && b->io != SYNC)
		r = workers_start(dev, &b->workers, WORKERS);
	if (!r && b->io != SYNC && start->reason != MINIVMM_RESET)
		r = virtio_ioeventfds(dev);
	return r ? r : blk_resume(dev);
}

static int
blk_capture(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);
	char *layers, *stem = disk_stem(&b->disk, b->overlay);
	int r = disk_freeze(&b->disk, stem);

	free(stem);
	if (r)
		return -1;
	b->changed_at = disk_changed(&b->disk);
	layers = disk_layers(&b->disk);
	if (!layers)
		minivmm_error(dev, "cannot list the layers of the disk %s for the snapshot",
			      b->path);
	r = !layers || minivmm_option_set(dev, "layers", layers) ||
	    minivmm_option_set(dev, "overlay", "") || minivmm_option_set(dev, "temporary", "no");
	free(layers);
	return r ? -1 : 0;
}

static int
blk_stop(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	disk_hurry(&b->disk, true); /* the guest's requests; the flush has its time */
	blk_reset(dev);
	disk_hurry(&b->disk, false);
	workers_end(&b->workers);
	if (b->ring)
		minivmm_watch(dev, BLK_WATCH_RING, -1, 0);
	ring_end(b);
	if (!b->disk.count || !disk_flush(&b->disk))
		return 0;
	minivmm_error(dev, "cannot flush the disk %s: %s", b->path,
		      minivmm_error_text(dev, MINIVMM_CALL_OTHER, errno).text);
	return -1;
}

static void
blk_destroy(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	workers_end(&b->workers);
	ring_end(b);
	while (b->spare) {
		struct blk_job *job = b->spare;

		b->spare = job->next;
		free(job);
	}
	pthread_cond_destroy(&b->workers.idle);
	pthread_cond_destroy(&b->workers.work);
	pthread_mutex_destroy(&b->workers.lock);
	disk_destroy(&b->disk);
}

static const char *const ios[] = { "sync", "threads", "io_uring", NULL };
static const char *const formats[] = { "raw", NULL };
static const char *const changed[] = { "refuse", "accept", NULL };

static const struct minivmm_option options[] = {
	VIRTIO_OPTIONS(struct blk),
	MINIVMM_OPTION_AS(PATH, struct blk, path, NULL,
			  "the disk: a file, a block device, or an NBD export (nbd://HOST/NAME or "
			  "nbd+unix:///NAME?socket=PATH)",
			  .flags = MINIVMM_HOST | MINIVMM_RAW),
	MINIVMM_OPTION_AS(ENUM, struct blk, format, "raw",
			  "raw: the bytes are the disk, even if they look like another format",
			  .values = formats),
	MINIVMM_OPTION(struct blk, readonly, "no", "whether the guest can only read the disk"),
	MINIVMM_OPTION(
	    struct blk, temporary, "no",
	    "whether writes are dropped at the end of the run, unless a snapshot contains them",
	    .flags = MINIVMM_HOST),
	MINIVMM_OPTION_AS(PATH, struct blk, overlay, "",
			  "file for writes, in place of the disk: created if it does not exist",
			  .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct blk, layers, "",
		       "frozen overlays on the disk, oldest first, separated by ':'",
		       .flags = MINIVMM_HOST),
	MINIVMM_OPTION_AS(
	    ENUM, struct blk, changed, "refuse",
	    "whether a restore is refused if the disk was modified after the snapshot",
	    .flags = MINIVMM_HOST, .values = changed),
	MINIVMM_OPTION_AS(ENUM, struct blk, io, "sync",
			  "what executes requests: the vCPU, threads, or io_uring", .values = ios,
			  .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct blk, queues, "1", "number of queues", .min = 1, .max = BLK_QUEUES),
	MINIVMM_OPTION(struct blk, rate, "", RATE_HELP),
	MINIVMM_OPTION(struct blk, burst, "", RATE_BURST_HELP),
	MINIVMM_OPTION(struct blk, serial, "", "serial number, at most 20 characters"),
	MINIVMM_END,
};

static const struct minivmm_post posts[] = {
	{ .name = "again", .run = virtio_process_pending, .help = "processes pending queues" },
	[BLK_POST_DONE] = { .name = "done", .run = blk_done, .help = "completes requests" },
	MINIVMM_END,
};
static const struct minivmm_watch watches[] = {
	VIRTIO_WATCHES,
	[BLK_WATCH_RING] = { .name = "done", .ready = blk_ring, .help = "completes requests" },
	MINIVMM_END,
};
static const struct minivmm_timer timers[] = {
	[BLK_TIMER_RATE] = { .name = "rate",
			     .fire = blk_rate,
			     .help = "continues when the rate limit allows it" },
	MINIVMM_END,
};
static const struct minivmm_range ranges[] = { VIRTIO_RANGES, MINIVMM_END };
static const struct minivmm_pci pci[] = { VIRTIO_PCI(struct blk, 2, 0x010000, VIRTIO_QUEUES),
					  MINIVMM_END };
static const struct minivmm_field fields[] = {
	VIRTIO_FIELDS(struct blk),
	MINIVMM_FIELD(struct blk, bytes, .help = "size of the disk"),
	MINIVMM_FIELD(struct blk, changed_at, .flags = MINIVMM_FREE_RUNNING,
		      .help = "modification time of the file, in ns"),
	RATE_FIELD(struct blk, limit),
	MINIVMM_FIELD_COUNTED(struct blk, held_queues, held_count, .since = 3,
			      .flags = MINIVMM_FREE_RUNNING, .max = BLK_QUEUES - 1,
			      .help = "requests that the pause has interrupted: queues"),
	MINIVMM_FIELD_COUNTED(struct blk, held_heads, held_count, .since = 3,
			      .flags = MINIVMM_FREE_RUNNING, .max = VIRTIO_QUEUE_MAX - 1,
			      .help = "the same: heads of their descriptor chains"),
	MINIVMM_FIELD_COUNTED(struct blk, held_done, held_count, .since = 3,
			      .flags = MINIVMM_FREE_RUNNING,
			      .help = "the same: bytes that are done"),
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
	.pause = blk_pause,
	.resume = blk_resume,
	.stop = blk_stop,
	.destroy = blk_destroy,
	.loaded = virtio_loaded,
	.acpi = virtio_acpi,
	.capture = blk_capture,
};
MINIVMM_REGISTER(blk, MINIVMM_HAS_PCI);
