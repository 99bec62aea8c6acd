/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk (virtio 1.2, section 5.2) that is a file or a block device of the host, and overlays upon it. Requests are done by
 * the vCPU that notifies, one after the other, and are complete when it goes on: none is ever in flight.
 */
#include <errno.h>
#include <minivmm/plugin.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../virtio/queue.h"
#include "disk.h"

#define SECTOR 512u
#define ID_BYTES 20u
#define PART 65536u
#define REQUEST_MAX (64ull << 20) /* bytes that one request may move: the vCPU stands meanwhile */
#define RANGE_SECTORS (1u << 17)  /* of a discard, 64 MiB */
#define RANGES 16u                /* in one */

#define BLK_F_SEG_MAX (1ull << 2)
#define BLK_F_RO (1ull << 5)
#define BLK_F_BLK_SIZE (1ull << 6)
#define BLK_F_FLUSH (1ull << 9)
#define BLK_F_DISCARD (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

enum blk_type { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum blk_status { OK = 0, IOERR = 1, UNSUPP = 2 };

struct blk {
	struct virtio virtio;
	const char *path, *layers, *overlay, *serial; /* options */
	bool readonly, temporary;
	uint32_t changed;    /* option: what is done when the file is not as the snapshot has it */
	uint64_t bytes;      /* state: the disk's size */
	uint64_t changed_at; /* state: when the file was last written, at the last snapshot */
	uint32_t origin;     /* layers that a restored machine began with */
	struct disk disk;
	uint8_t *part; /* what is copied to or from memory, PART bytes */
};

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

struct blk_range {
	uint64_t sector;
	uint32_t sectors, flags;
};

static uint64_t
blk_features(struct minivmm_device *dev)
{
	const struct blk *b = minivmm_state(dev);

	return BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH |
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
	memcpy(config + 36, &range, 4);
	memcpy(config + 40, &ranges, 4);
	memcpy(config + 44, &(uint32_t){ 1 }, 4); /* alignment of a discard, in sectors */
	memcpy(config + 48, &range, 4);
	memcpy(config + 52, &ranges, 4);
	config[56] = 1; /* writing zeroes may unmap */
}

static bool
blk_inside(const struct blk *b, uint64_t sector, uint64_t bytes)
{
	uint64_t sectors = b->bytes / SECTOR;

	return bytes % SECTOR == 0 && sector <= sectors && bytes / SECTOR <= sectors - sector;
}

static uint8_t
blk_failed(struct minivmm_device *dev, const char *what, uint64_t at)
{
	const struct blk *b = minivmm_state(dev);

	minivmm_error(dev, "%s the disk %s at 0x%llx: %s", what, b->path, (unsigned long long)at,
		      strerror(errno));
	return IOERR;
}

/* A driver that has not been told of the cache has none: what is done is on the disk (section 5.2.6.2). */
static uint8_t
blk_written(struct minivmm_device *dev, uint64_t at)
{
	struct blk *b = minivmm_state(dev);

	return virtio_has(&b->virtio, BLK_F_FLUSH) || !disk_flush(&b->disk)
		   ? OK
		   : blk_failed(dev, "flushing", at);
}

static uint8_t
blk_read_write(struct minivmm_device *dev, const struct virtio_request *r,
	       const struct blk_header *h, uint64_t bytes)
{
	struct blk *b = minivmm_state(dev);
	bool write = h->type == OUT;
	uint64_t skip = write ? sizeof(*h) : 0;

	if (bytes > REQUEST_MAX || !blk_inside(b, h->sector, bytes) || (write && b->readonly))
		return IOERR;
	for (uint64_t done = 0; done < bytes;) {
		uint64_t part = bytes - done < PART ? bytes - done : PART,
			 at = h->sector * SECTOR + done;

		if (write && virtio_copy(dev, &b->virtio, r, false, skip + done, b->part, part) !=
				 (int64_t)part)
			return IOERR;
		if (write ? disk_write(&b->disk, b->part, part, at)
			  : disk_read(&b->disk, b->part, part, at))
			return blk_failed(dev, write ? "writing" : "reading", at);
		if (!write &&
		    virtio_copy(dev, &b->virtio, r, true, done, b->part, part) != (int64_t)part)
			return IOERR;
		done += part;
	}
	return write ? blk_written(dev, h->sector * SECTOR) : OK;
}

static uint8_t
blk_ranges(struct minivmm_device *dev, const struct virtio_request *r, const struct blk_header *h)
{
	struct blk *b = minivmm_state(dev);
	uint64_t bytes = r->out_bytes - sizeof(*h);
	struct blk_range range;

	if (b->readonly || !bytes || bytes % sizeof(range) || bytes / sizeof(range) > RANGES)
		return b->readonly ? IOERR : UNSUPP;
	for (uint64_t done = 0; done < bytes; done += sizeof(range)) {
		if (virtio_copy(dev, &b->virtio, r, false, sizeof(*h) + done, &range,
				sizeof(range)) != (int64_t)sizeof(range))
			return IOERR;
		/* Section 5.2.6.1: a flag that is not known, or unmap in a discard. */
		if (range.flags & ~(h->type == WRITE_ZEROES ? 1u : 0u))
			return UNSUPP;
		if (range.sectors > RANGE_SECTORS ||
		    !blk_inside(b, range.sector, (uint64_t)range.sectors * SECTOR))
			return IOERR;
		if (range.sectors &&
		    disk_zero(&b->disk, (uint64_t)range.sectors * SECTOR, range.sector * SECTOR,
			      h->type == DISCARD || range.flags))
			return blk_failed(dev, "zeroing", range.sector * SECTOR);
	}
	return blk_written(dev, 0);
}

static uint8_t
blk_do(struct minivmm_device *dev, const struct virtio_request *r, uint32_t *written)
{
	struct blk *b = minivmm_state(dev);
	char id[ID_BYTES] = { 0 };
	struct blk_header h;
	uint8_t status;

	if (virtio_copy(dev, &b->virtio, r, false, 0, &h, sizeof(h)) != (int64_t)sizeof(h))
		return IOERR;
	switch (h.type) {
	case IN:
		status = blk_read_write(dev, r, &h, r->in_bytes - 1);
		if (status == OK)
			*written += (uint32_t)(r->in_bytes - 1);
		return status;
	case OUT:
		return blk_read_write(dev, r, &h, r->out_bytes - sizeof(h));
	case FLUSH:
		return !disk_flush(&b->disk) ? OK : blk_failed(dev, "flushing", 0);
	case GET_ID:
		memcpy(id, b->serial, strnlen(b->serial, sizeof(id)));
		if (virtio_copy(dev, &b->virtio, r, true, 0, id,
				r->in_bytes - 1 < sizeof(id) ? r->in_bytes - 1 : sizeof(id)) < 0)
			return IOERR;
		*written += sizeof(id);
		return OK;
	case DISCARD:
	case WRITE_ZEROES:
		return blk_ranges(dev, r, &h);
	default:
		return UNSUPP;
	}
}

static int
blk_notify(struct minivmm_device *dev, uint32_t queue)
{
	struct blk *b = minivmm_state(dev);
	struct virtio_request request;

	while (virtio_pop(dev, &b->virtio, queue, &request) > 0) {
		uint32_t written = 1;
		uint8_t status;

		if (!request.in_bytes || request.out_bytes < sizeof(struct blk_header)) {
			virtio_broken(dev, &b->virtio, "a request without header or status");
			break;
		}
		status = blk_do(dev, &request, &written);
		if (virtio_copy(dev, &b->virtio, &request, true, request.in_bytes - 1, &status,
				1) != 1 ||
		    virtio_push(dev, &b->virtio, queue, &request, written))
			break;
	}
	return 0;
}

static const struct virtio_kind kind = {
	.id = 2, .queues = 1, .features = blk_features, .config = blk_config, .notify = blk_notify
};

static int
blk_configure(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	b->virtio.kind = &kind;
	b->disk.dev = dev;
	b->disk.readonly = b->readonly;
	if (b->readonly + b->temporary + !!*b->overlay > 1) {
		minivmm_error(dev, "readonly, temporary and overlay exclude one another: each says "
				   "where what is written goes");
		return -1;
	}
	b->part = malloc(PART);
	if (!b->part) {
		minivmm_error(dev, "no memory for %u bytes", PART);
		return -1;
	}
	return 0;
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

enum { REFUSE, ACCEPT };

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
	return r ? r : virtio_again(dev, 0);
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

	if (!b->disk.count || !disk_flush(&b->disk))
		return 0;
	blk_failed(dev, "flushing", 0);
	return -1;
}

static void
blk_destroy(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	disk_close(&b->disk);
	free(b->part);
}

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
	MINIVMM_OPTION(struct blk, serial, "", "its serial number, of at most 20 characters"),
	MINIVMM_END,
};

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
	.posts = virtio_posts,
	.fields = fields,
	.configure = blk_configure,
	.start = blk_start,
	.stop = blk_stop,
	.destroy = blk_destroy,
	.loaded = virtio_loaded,
	.acpi = virtio_acpi,
	.capture = blk_capture,
};
MINIVMM_REGISTER(blk);
