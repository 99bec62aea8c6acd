/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk (virtio 1.2, section 5.2) that is a file or a block device of the host. Requests are done by the vCPU that
 * notifies, one after the other, and are complete when it goes on: none is ever in flight.
 *
 * What is written goes to the file itself, which no snapshot holds: only a machine whose disks are read-only can be saved.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* fallocate */
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <minivmm/plugin.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "virtio/queue.h"

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
	const char *path, *serial; /* options */
	bool readonly;
	int fd;
	uint64_t sectors;
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

static int
blk_open(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);
	uint64_t bytes;
	struct stat st;

	b->fd = open(b->path, (b->readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (b->fd < 0 || fstat(b->fd, &st)) {
		minivmm_error(dev, "can't open the disk %s: %s", b->path, strerror(errno));
		return -1;
	}
	bytes = (uint64_t)st.st_size;
	if (!S_ISREG(st.st_mode) && (!S_ISBLK(st.st_mode) || ioctl(b->fd, BLKGETSIZE64, &bytes))) {
		minivmm_error(dev, "the disk %s is neither a file nor a block device", b->path);
		return -1;
	}
	b->sectors = bytes / SECTOR;
	if (b->sectors)
		return 0;
	minivmm_error(dev, "the disk %s has %llu bytes, less than a sector", b->path,
		      (unsigned long long)bytes);
	return -1;
}

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

	memcpy(config, &b->sectors, 8);
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
	return bytes % SECTOR == 0 && sector <= b->sectors && bytes / SECTOR <= b->sectors - sector;
}

/* All of it, or -1. */
static int
blk_transfer(const struct blk *b, bool write, uint8_t *bytes, size_t length, uint64_t at)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = write ? pwrite(b->fd, bytes + done, length - done, (off_t)(at + done))
				  : pread(b->fd, bytes + done, length - done, (off_t)(at + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n == 0) /* somebody has cut the file */
			errno = ENODATA;
		if (n <= 0)
			return -1;
		done += (size_t)n;
	}
	return 0;
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
		if (blk_transfer(b, write, b->part, part, at)) {
			minivmm_error(dev, "%s the disk %s at 0x%llx: %s",
				      write ? "writing" : "reading", b->path,
				      (unsigned long long)at, strerror(errno));
			return IOERR;
		}
		if (!write &&
		    virtio_copy(dev, &b->virtio, r, true, done, b->part, part) != (int64_t)part)
			return IOERR;
		done += part;
	}
	return OK;
}

/* Where the file system has no holes, what is to be zero is written. */
static int
blk_zero(struct blk *b, uint64_t at, uint64_t length, bool unmap)
{
	int mode = unmap ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
			 : FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;

	if (!fallocate(b->fd, mode, (off_t)at, (off_t)length))
		return 0;
	memset(b->part, 0, PART);
	for (uint64_t done = 0; done < length; done += PART)
		if (blk_transfer(b, true, b->part, length - done < PART ? length - done : PART,
				 at + done))
			return -1;
	return 0;
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
		    blk_zero(b, range.sector * SECTOR, (uint64_t)range.sectors * SECTOR,
			     h->type == DISCARD || range.flags))
			return IOERR;
	}
	return OK;
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
		return b->readonly || !fdatasync(b->fd) ? OK : IOERR;
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
	b->fd = -1;
	b->part = malloc(PART);
	if (!b->part) {
		minivmm_error(dev, "no memory for %u bytes", PART);
		return -1;
	}
	return 0;
}

static int
blk_start(struct minivmm_device *dev, const struct minivmm_start *start)
{
	struct blk *b = minivmm_state(dev);

	return b->fd < 0 && blk_open(dev) ? -1 : virtio_again(dev, 0);
}

static void
blk_destroy(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	if (b->fd >= 0)
		close(b->fd);
	free(b->part);
}

static int
blk_save(struct minivmm_device *dev, struct minivmm_writer *writer)
{
	const struct blk *b = minivmm_state(dev);

	if (b->readonly)
		return minivmm_save_fields(dev, writer);
	minivmm_error(dev,
		      "what is written to the disk %s would be in no snapshot: set readonly = yes",
		      b->path);
	return -1;
}

static int
blk_load(struct minivmm_device *dev, struct minivmm_reader *reader, uint32_t version)
{
	return minivmm_load_fields(dev, reader, version);
}

static const struct minivmm_option options[] = {
	VIRTIO_OPTIONS(struct blk),
	MINIVMM_OPTION_AS(PATH, struct blk, path, NULL, "the file or block device that the disk is",
			  .flags = MINIVMM_HOST),
	MINIVMM_OPTION(struct blk, readonly, "no", "whether the guest may only read it"),
	MINIVMM_OPTION(struct blk, serial, "", "its serial number, of at most 20 characters"),
	MINIVMM_END,
};

static const struct minivmm_range ranges[] = { VIRTIO_RANGE, MINIVMM_END };
static const struct minivmm_field fields[] = { VIRTIO_FIELDS(struct blk), MINIVMM_END };

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
	.destroy = blk_destroy,
	.save = blk_save,
	.load = blk_load,
	.loaded = virtio_loaded,
	.acpi = virtio_acpi,
};
MINIVMM_REGISTER(blk);
