/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of the driver (virtio 1.2, section 5.2.6): parsing, executing and completing them. */
#include <errno.h>
#include <string.h>

#include "blk.h"

#define ID_BYTES 20u
#define REQUEST_MAX (64ull << 20) /* maximum data of a request, in bytes */
#define STEP_MOVE (1u << 20)      /* bytes that a step reads or writes, ending with a cluster */
#define STEP_ZERO (4u << 20)      /* bytes that a step clears */

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

static bool
inside(const struct blk *b, uint64_t sector, uint64_t bytes)
{
	uint64_t sectors = b->bytes / SECTOR;

	return bytes % SECTOR == 0 && sector <= sectors && bytes / SECTOR <= sectors - sector;
}

static void
unmap(struct minivmm_device *dev, struct blk_job *job, uint64_t written)
{
	for (uint32_t i = 0; i < job->piece_count; i++) {
		uint64_t part = job->pieces[i].iov_len < written ? job->pieces[i].iov_len : written;

		minivmm_memory_unmap(dev, job->gpas[i], part);
		written -= part;
	}
	job->piece_count = 0;
}

/* Maps length bytes of the request's segments, from offset skip on. */
static int
map(struct minivmm_device *dev, struct blk_job *job, bool in, uint64_t skip)
{
	struct blk *b = minivmm_state(dev);
	const struct virtio_request *r = &job->request;
	const struct virtio_segment *s = r->segments + (in ? r->out : 0);
	uint64_t left = job->length;

	for (; left; s++) {
		uint64_t part = s->length;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part = part - skip < left ? part - skip : left;
		job->gpas[job->piece_count] = s->address + skip;
		job->pieces[job->piece_count] =
		    (struct iovec){ minivmm_memory_map(dev, s->address + skip, part), part };
		if (!job->pieces[job->piece_count].iov_base) {
			unmap(dev, job, 0);
			return virtio_bad(dev, &b->virtio, "a buffer is not in guest memory");
		}
		job->piece_count++;
		left -= part;
		skip = 0;
	}
	return 0;
}

static bool
begin_read_write(struct minivmm_device *dev, struct blk_job *job, uint64_t sector)
{
	struct blk *b = minivmm_state(dev);
	bool in = job->type == IN;

	job->length =
	    in ? job->request.in_bytes - 1 : job->request.out_bytes - sizeof(struct blk_header);
	job->at = sector * SECTOR;
	job->status = IOERR;
	if (job->length > REQUEST_MAX || !inside(b, sector, job->length) || (!in && b->readonly))
		return false;
	return !map(dev, job, in, in ? 0 : sizeof(struct blk_header));
}

static bool
begin_ranges(struct minivmm_device *dev, struct blk_job *job)
{
	struct blk *b = minivmm_state(dev);
	uint64_t bytes = job->request.out_bytes - sizeof(struct blk_header);
	const uint32_t flags =
	    job->type ==
	    WRITE_ZEROES; /* only WRITE_ZEROES may have the flag unmap (section 5.2.6.1) */

	job->status = b->readonly ? IOERR : UNSUPP;
	if (b->readonly || !bytes || bytes % sizeof(struct blk_range) ||
	    bytes / sizeof(struct blk_range) > RANGES)
		return false;
	if (virtio_copy(dev, &b->virtio, &job->request, false, sizeof(struct blk_header),
			job->ranges, bytes) != (int64_t)bytes)
		return false;
	job->range_count = (uint32_t)(bytes / sizeof(struct blk_range));
	for (uint32_t i = 0; i < job->range_count; i++) {
		const struct blk_range *range = &job->ranges[i];

		if (range->flags & ~flags)
			return false;
		job->status = IOERR;
		if (range->sectors > RANGE_SECTORS ||
		    !inside(b, range->sector, (uint64_t)range->sectors * SECTOR))
			return false;
		job->status = UNSUPP;
	}
	return true;
}

static void
get_id(struct minivmm_device *dev, struct blk_job *job)
{
	struct blk *b = minivmm_state(dev);
	uint64_t room = job->request.in_bytes - 1;
	char id[ID_BYTES] = { 0 };

	memcpy(id, b->serial, strnlen(b->serial, sizeof(id)));
	room = room < sizeof(id) ? room : sizeof(id);
	job->status =
	    virtio_copy(dev, &b->virtio, &job->request, true, 0, id, room) < 0 ? IOERR : OK;
	job->written += (uint32_t)room;
}

bool
job_begin(struct minivmm_device *dev, struct blk_job *job)
{
	struct blk *b = minivmm_state(dev);
	struct blk_header h;

	job->piece_count = job->range_count = 0;
	job->length = job->at = job->done = 0;
	job->call = (struct disk_call){ .fd = -1 };
	job->error = 0;
	job->written = 1; /* the status */
	job->status = IOERR;
	/* Section 5.2.6.2: for a driver without FLUSH, the disk has no write cache. */
	job->flush = !virtio_has(&b->virtio, BLK_F_FLUSH);
	if (virtio_copy(dev, &b->virtio, &job->request, false, 0, &h, sizeof(h)) !=
	    (int64_t)sizeof(h))
		return false;
	job->type = h.type;
	switch (h.type) {
	case IN:
	case OUT:
		return begin_read_write(dev, job, h.sector);
	case DISCARD:
	case WRITE_ZEROES:
		return begin_ranges(dev, job);
	case FLUSH:
		return true;
	case GET_ID:
		get_id(dev, job);
		return false;
	default:
		job->status = UNSUPP;
		return false;
	}
}

uint64_t
job_bytes(const struct blk_job *job)
{
	uint64_t bytes = job->type == IN || job->type == OUT ? job->length : 0;

	for (uint32_t i = 0; i < job->range_count; i++)
		bytes += (uint64_t)job->ranges[i].sectors * SECTOR;
	return bytes;
}

enum disk_zero
job_zero(const struct blk_job *job, uint32_t range)
{
	if (job->type == DISCARD)
		return DISK_DISCARD;
	return job->ranges[range].flags ? DISK_UNMAP : DISK_ZERO;
}

/* Stores length bytes of the job's memory from offset skip on as segments. Returns their number. */
static uint32_t
slice(const struct blk_job *job, uint64_t skip, uint64_t length, struct iovec *pieces)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < job->piece_count && length; i++) {
		uint64_t part = job->pieces[i].iov_len;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part = part - skip < length ? part - skip : length;
		pieces[count++] = (struct iovec){ (uint8_t *)job->pieces[i].iov_base + skip, part };
		length -= part;
		skip = 0;
	}
	return count;
}

/* Reads or writes a part of the data. Returns its length, or -1 with errno. */
static int64_t
move_some(struct disk *disk, const struct blk_job *job)
{
	struct iovec pieces[DISK_PIECES];
	uint64_t at = job->at + job->done, part = STEP_MOVE - at % DISK_CLUSTER;
	uint32_t count;
	int r;

	part = part < job->length - job->done ? part : job->length - job->done;
	count = slice(job, job->done, part, pieces);
	r = job->type == IN ? disk_read(disk, pieces, count, part, at)
			    : disk_write(disk, pieces, count, part, at);
	return r ? -1 : (int64_t)part;
}

/* Clears a part of the ranges. Returns its length, or -1 with errno. */
static int64_t
zero_some(struct disk *disk, const struct blk_job *job)
{
	uint64_t skip = job->done, part;
	uint32_t i;

	for (i = 0; skip >= (uint64_t)job->ranges[i].sectors * SECTOR; i++)
		skip -= (uint64_t)job->ranges[i].sectors * SECTOR;
	part = (uint64_t)job->ranges[i].sectors * SECTOR - skip;
	part = part < STEP_ZERO ? part : STEP_ZERO;
	return disk_zero(disk, job_zero(job, i), part, job->ranges[i].sector * SECTOR + skip)
		   ? -1
		   : (int64_t)part;
}

bool
job_step(struct blk *b, struct blk_job *job)
{
	bool moves = job->type == IN || job->type == OUT,
	     flushes = job->type == FLUSH || (job->flush && job->type != IN);
	uint64_t all = job_bytes(job);
	int64_t r = 0;

	if (job->done < all) {
		r = moves ? move_some(&b->disk, job) : zero_some(&b->disk, job);
		job->done += r > 0 ? (uint64_t)r : 0;
		if (r > 0 && (job->done < all || flushes))
			return true;
	} else if (flushes)
		r = disk_flush(&b->disk);
	job_done(job, r >= 0 ? 0 : errno ? errno : EIO);
	return false;
}

void
job_done(struct blk_job *job, int error)
{
	job->more = false;
	job->status = error ? IOERR : OK;
	job->error = error;
	if (!error && job->type == IN)
		job->written += (uint32_t)job->length;
}

void
job_drop(struct minivmm_device *dev, struct blk_job *job)
{
	unmap(dev, job, job->type == IN ? job->length : 0);
}

int
job_end(struct minivmm_device *dev, struct blk_job *job)
{
	struct blk *b = minivmm_state(dev);

	disk_log_connection(&b->disk);
	if (job->error &&
	    job->error !=
		ENOTCONN) /* lost connections are logged once, below disk_log_connection() */
		minivmm_error(dev, "cannot %s the disk %s at 0x%llx: %s",
			      job->type == IN ? "read" : "write", b->path,
			      (unsigned long long)job->at,
			      minivmm_error_text(dev, MINIVMM_CALL_OTHER, job->error).text);
	job_drop(dev, job);
	if (!virtio_live(&b->virtio, job->queue))
		return -1;
	if (virtio_copy(dev, &b->virtio, &job->request, true, job->request.in_bytes - 1,
			&job->status, 1) != 1)
		return -1;
	return virtio_push(dev, &b->virtio, job->queue, &job->request, job->written);
}
