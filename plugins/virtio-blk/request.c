/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of the driver (virtio 1.2, section 5.2.6): parsing and completing them. */
#include <string.h>

#include "blk.h"

#define ID_BYTES 20u
#define REQUEST_MAX (64ull << 20) /* maximum data of a request, in bytes */

struct blk_header {
	uint32_t type, reserved;
	uint64_t sector;
};

/* Maps the data of the request, which begins at offset skip of its segments. */
static int
map(struct minivmm_device *dev, struct blk_request *r, bool in, uint64_t skip)
{
	struct blk *b = minivmm_state(dev);
	const struct virtio_segment *s = r->request.segments + (in ? r->request.out : 0);
	uint64_t left = r->job.length;

	for (; left; s++) {
		uint64_t part = s->length;

		if (skip >= part) {
			skip -= part;
			continue;
		}
		part = part - skip < left ? part - skip : left;
		if (block_map(&b->block, &r->job, s->address + skip, part))
			return virtio_bad(dev, &b->virtio, "a buffer is not in guest memory");
		left -= part;
		skip = 0;
	}
	return 0;
}

/* The sector's offset in bytes; beyond any disk if it overflows. */
static uint64_t
offset(uint64_t sector)
{
	return sector > UINT64_MAX / BLOCK_SECTOR ? UINT64_MAX : sector * BLOCK_SECTOR;
}

static bool
begin_read_write(struct minivmm_device *dev, struct blk_request *r, uint64_t sector)
{
	struct blk *b = minivmm_state(dev);
	struct block_job *job = &r->job;
	bool in = job->type == BLOCK_READ;

	job->length =
	    in ? r->request.in_bytes - 1 : r->request.out_bytes - sizeof(struct blk_header);
	job->at = offset(sector);
	if (job->length > REQUEST_MAX || !block_contains(&b->block, job->at, job->length) ||
	    (!in && b->block.readonly) || map(dev, r, in, in ? 0 : sizeof(struct blk_header)))
		return false;
	r->written += in ? (uint32_t)job->length : 0;
	return true;
}

/* Section 5.2.5: a segment of DISCARD and WRITE_ZEROES. */
struct range {
	uint64_t sector;
	uint32_t sectors, flags;
};

static bool
begin_ranges(struct minivmm_device *dev, struct blk_request *r)
{
	struct blk *b = minivmm_state(dev);
	struct block_job *job = &r->job;
	uint64_t bytes = r->request.out_bytes - sizeof(struct blk_header);
	struct range copy[RANGES];
	const uint32_t flags =
	    job->type ==
	    BLOCK_ZERO; /* only WRITE_ZEROES may have the flag unmap (section 5.2.6.1) */

	r->status = b->block.readonly ? IOERR : UNSUPP;
	if (b->block.readonly || !bytes || bytes % sizeof(*copy) || bytes > sizeof(copy))
		return false;
	if (virtio_copy(dev, &b->virtio, &r->request, false, sizeof(struct blk_header), copy,
			bytes) != (int64_t)bytes)
		return false;
	job->range_count = (uint32_t)(bytes / sizeof(*copy));
	for (uint32_t i = 0; i < job->range_count; i++) {
		const struct range *range = &copy[i];

		job->ranges[i] = (struct block_range){ offset(range->sector),
						       (uint64_t)range->sectors * BLOCK_SECTOR,
						       range->flags & 1 };
		if (range->flags & ~flags)
			return false;
		if (range->sectors > RANGE_SECTORS ||
		    !block_contains(&b->block, job->ranges[i].at, job->ranges[i].length)) {
			r->status = IOERR;
			return false;
		}
	}
	return true;
}

static void
get_id(struct minivmm_device *dev, struct blk_request *r)
{
	struct blk *b = minivmm_state(dev);
	uint64_t room = r->request.in_bytes - 1;
	char id[ID_BYTES] = { 0 };

	memcpy(id, b->serial, strnlen(b->serial, sizeof(id)));
	room = room < sizeof(id) ? room : sizeof(id);
	r->status = virtio_copy(dev, &b->virtio, &r->request, true, 0, id, room) < 0 ? IOERR : OK;
	r->written += (uint32_t)room;
}

bool
request_begin(struct minivmm_device *dev, struct blk_request *r)
{
	struct blk *b = minivmm_state(dev);
	struct blk_header h;

	r->written = 1; /* the status */
	r->status = IOERR;
	/* Section 5.2.6.2: for a driver without FLUSH, the disk has no write cache. */
	r->job.flush = !virtio_has(&b->virtio, BLK_F_FLUSH);
	if (virtio_copy(dev, &b->virtio, &r->request, false, 0, &h, sizeof(h)) !=
	    (int64_t)sizeof(h))
		return false;
	switch (h.type) {
	case IN:
	case OUT:
		r->job.type = h.type == IN ? BLOCK_READ : BLOCK_WRITE;
		return begin_read_write(dev, r, h.sector);
	case DISCARD:
	case WRITE_ZEROES:
		r->job.type = h.type == DISCARD ? BLOCK_DISCARD : BLOCK_ZERO;
		return begin_ranges(dev, r);
	case FLUSH:
		return true;
	case GET_ID:
		get_id(dev, r);
		return false;
	default:
		r->status = UNSUPP;
		return false;
	}
}

void
request_complete(struct minivmm_device *dev, struct block_job *job)
{
	struct blk *b = minivmm_state(dev);
	struct blk_request *r = (struct blk_request *)job;

	if (job->executed)
		r->status = job->error ? IOERR : OK;
	if (job->error)
		r->written = 1;
	if (virtio_live(&b->virtio, r->queue) &&
	    virtio_copy(dev, &b->virtio, &r->request, true, r->request.in_bytes - 1, &r->status,
			1) == 1)
		virtio_push(dev, &b->virtio, r->queue, &r->request, r->written);
}
