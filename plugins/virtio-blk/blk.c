/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk (virtio 1.2, section 5.2) that is a file or a block device of the host, and overlays upon it. Requests are done by
 * the vCPU that notifies, one after the other, or by threads; none is in flight when the machine stands still.
 */
#include <errno.h>
#include <minivmm/plugin.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "blk.h"

enum { SYNC, THREADS };
enum { REFUSE, ACCEPT };

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
	memcpy(config + 44, &(uint32_t){ 1 }, 4); /* alignment of a discard, in sectors */
	memcpy(config + 48, &range, 4);
	memcpy(config + 52, &ranges, 4);
	config[56] = 1; /* writing zeroes may unmap */
}

static struct blk_job *
blk_job(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);
	struct blk_job *job = b->spare;

	if (job) {
		b->spare = job->next;
		return job;
	}
	job = malloc(sizeof(*job));
	if (!job)
		minivmm_error(dev, "no memory for a request: it waits");
	return job;
}

static void
blk_spare(struct blk *b, struct blk_job *job)
{
	job->next = b->spare;
	b->spare = job;
}

/* The requests of a queue, as many as may be under way. */
static int
blk_notify(struct minivmm_device *dev, uint32_t queue)
{
	struct blk *b = minivmm_state(dev);
	struct blk_job *job;

	while (!b->resting && b->flight < FLIGHT && (job = blk_job(dev))) {
		job->queue = queue;
		if (virtio_pop(dev, &b->virtio, queue, &job->request) <= 0) {
			blk_spare(b, job);
			break;
		}
		if (!job->request.in_bytes || job->request.out_bytes < 16) {
			virtio_broken(dev, &b->virtio, "a request without header or status");
			blk_spare(b, job);
			break;
		}
		if (job_begin(dev, job)) {
			if (b->io == THREADS) {
				b->flight++;
				workers_give(&b->workers, job);
				continue;
			}
			job_do(b, job);
		}
		job_end(dev, job);
		blk_spare(b, job);
	}
	return 0;
}

/* What the workers have done goes back to the driver, and there is room for more. */
static int
blk_done(struct minivmm_device *dev, uint32_t post)
{
	struct blk *b = minivmm_state(dev);
	struct blk_job *job, *next;

	for (job = workers_take(&b->workers); job; job = next) {
		next = job->next;
		job_end(dev, job);
		blk_spare(b, job);
		b->flight--;
	}
	if (!b->resting)
		return virtio_again(dev, 0);
	if (!b->flight)
		minivmm_paused(dev);
	return 0;
}

/* The driver has reset the device: nothing of what it asked for happens after that. */
static void
blk_reset(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);
	struct blk_job *job, *next;

	if (b->io != THREADS)
		return;
	for (job = workers_recall(&b->workers); job; job = next) {
		next = job->next;
		job_drop(dev, job);
		blk_spare(b, job);
		b->flight--;
	}
}

#define KIND(n)                                                                                    \
	{                                                                                          \
		.id = 2, .queues = (n), .features = blk_features, .config = blk_config,            \
		.notify = blk_notify, .reset = blk_reset                                           \
	}
static const struct virtio_kind kinds[VIRTIO_QUEUES] = { KIND(1), KIND(2), KIND(3), KIND(4) };

static int
blk_configure(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	b->virtio.kind = &kinds[b->queues - 1];
	b->disk.dev = dev;
	b->disk.readonly = b->readonly;
	pthread_mutex_init(&b->disk.lock, NULL);
	pthread_mutex_init(&b->workers.lock, NULL);
	pthread_cond_init(&b->workers.work, NULL);
	pthread_cond_init(&b->workers.rest, NULL);
	b->workers.last = &b->workers.first;
	if (b->readonly + b->temporary + !!*b->overlay <= 1)
		return 0;
	minivmm_error(
	    dev, "readonly, temporary and overlay exclude one another: each says where what is "
		 "written goes");
	return -1;
}

static int
blk_open(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);
	bool above = *b->overlay || b->temporary;

	if (!b->readonly && *b->layers && !above) {
		minivmm_error(dev,
			      "snapshots hold the layers as they are: set overlay = FILE for what "
			      "is written, or temporary = yes, or readonly = yes");
		return -1;
	}
	if (disk_open(&b->disk, b->path, b->layers, !b->readonly && !above))
		return -1;
	b->bytes = b->disk.bytes;
	b->changed_at = disk_changed(&b->disk);
	if (!above)
		return 0;
	return b->temporary || access(b->overlay, F_OK)
		   ? disk_begin(&b->disk, b->temporary ? NULL : b->overlay)
		   : disk_continue(&b->disk, b->overlay);
}

/* Whoever restores a machine begins where it was, and leaves the disk as it was for the next. */
static int
blk_restore(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	if (disk_open(&b->disk, b->path, b->layers, false))
		return -1;
	if (b->disk.bytes != b->bytes) {
		minivmm_error(
		    dev, "the disk %s has %llu bytes, in the snapshot %llu: it is another one",
		    b->path, (unsigned long long)b->disk.bytes, (unsigned long long)b->bytes);
		return -1;
	}
	if (b->changed == REFUSE && disk_changed(&b->disk) != b->changed_at) {
		minivmm_error(
		    dev,
		    "the disk %s has been written since the snapshot, or is a copy: if it is as it "
		    "was, give --set device.%s.changed=accept",
		    b->path, dev->name);
		return -1;
	}
	b->origin = b->disk.count;
	return b->readonly ? 0 : disk_begin(&b->disk, *b->overlay ? b->overlay : NULL);
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
	if (!r && b->io == THREADS)
		r = workers_start(dev, &b->workers);
	if (!r && b->io == THREADS && start->reason != MINIVMM_RESET)
		r = virtio_bind(dev);
	b->resting = false;
	return r ? r : virtio_again(dev, 0);
}

static int
blk_pause(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	b->resting = true;
	return b->flight ? MINIVMM_PENDING : 0;
}

static int
blk_resume(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	b->resting = false;
	return virtio_again(dev, 0);
}

/* The name from which those of overlays are made. */
static const char *
blk_stem(const struct blk *b)
{
	struct stat st;

	if (*b->overlay)
		return b->overlay;
	return !fstat(b->disk.layers[0].fd, &st) && S_ISREG(st.st_mode) ? b->path : NULL;
}

static int
blk_capture(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);
	char *layers;
	int r;

	if (disk_freeze(&b->disk, blk_stem(b)))
		return -1;
	b->changed_at = disk_changed(&b->disk);
	layers = disk_layers(&b->disk);
	if (!layers)
		minivmm_error(dev, "the layers of the disk %s can't be named", b->path);
	r = !layers || minivmm_option_set(dev, "layers", layers) ||
	    minivmm_option_set(dev, "overlay", "") || minivmm_option_set(dev, "temporary", "no");
	free(layers);
	return r ? -1 : 0;
}

static int
blk_stop(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	workers_end(&b->workers);
	if (!b->disk.count || !disk_flush(&b->disk))
		return 0;
	minivmm_error(dev, "flushing the disk %s: %s", b->path, strerror(errno));
	return -1;
}

static void
blk_destroy(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	workers_end(&b->workers);
	disk_close(&b->disk);
	while (b->spare) {
		struct blk_job *job = b->spare;

		b->spare = job->next;
		free(job);
	}
	pthread_cond_destroy(&b->workers.rest);
	pthread_cond_destroy(&b->workers.work);
	pthread_mutex_destroy(&b->workers.lock);
	pthread_mutex_destroy(&b->disk.lock);
}

static const char *const ios[] = { "sync", "threads", NULL };
static const char *const changed[] = { "refuse", "accept", NULL };

static const struct minivmm_option options[] = {
	VIRTIO_OPTIONS(struct blk),
	MINIVMM_OPTION_AS(PATH, struct blk, path, NULL, "the file or block device that the disk is",
			  .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct blk, readonly, "no", "whether the guest may only read it"),
	MINIVMM_OPTION(
	    struct blk, temporary, "no",
	    "whether what is written is forgotten at the end, unless a snapshot holds it",
	    .flags = MINIVMM_HOST),
	MINIVMM_OPTION_AS(
	    PATH, struct blk, overlay, "",
	    "where what is written goes, instead of to the disk itself: made, or gone on with",
	    .flags = MINIVMM_HOST),
	MINIVMM_OPTION(
	    struct blk, layers, "",
	    "overlays upon the disk that snapshots hold, the oldest first, ':' between two",
	    .flags = MINIVMM_HOST),
	MINIVMM_OPTION_AS(ENUM, struct blk, changed, "refuse",
			  "at a restore, when the disk is newer than the snapshot",
			  .flags = MINIVMM_HOST, .values = changed),
	MINIVMM_OPTION_AS(ENUM, struct blk, io, "sync",
			  "who moves its bytes: the vCPU that asks, or threads", .values = ios,
			  .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct blk, queues, "1", "how many queues it has", .min = 1,
		       .max = VIRTIO_QUEUES),
	MINIVMM_OPTION(struct blk, serial, "", "its serial number, of at most 20 characters"),
	MINIVMM_END,
};

static const struct minivmm_post posts[] = {
	{ .name = "again", .run = virtio_again, .help = "goes on with the queues" },
	[BLK_POST_DONE] = { .name = "done", .run = blk_done, .help = "ends requests" },
	MINIVMM_END,
};
static const struct minivmm_watch watches[] = { VIRTIO_WATCHES, MINIVMM_END };
static const struct minivmm_range ranges[] = { VIRTIO_RANGE, MINIVMM_END };
static const struct minivmm_field fields[] = {
	VIRTIO_FIELDS(struct blk),
	MINIVMM_FIELD(struct blk, bytes),
	MINIVMM_FIELD(struct blk, changed_at, .flags = MINIVMM_FREE_RUNNING),
	MINIVMM_END,
};

static const struct minivmm_plugin blk = {
	.name = "virtio-blk",
	.summary = "a virtio disk",
	.state_version = 1,
	.state_size = sizeof(struct blk),
	.options = options,
	.ranges = ranges,
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
MINIVMM_REGISTER(blk);
