/* SPDX-License-Identifier: BSD-2-Clause */
/* I/O commands (NVM Express 1.4, section 6), which become jobs of the disk. */
#include <errno.h>

#include "nvme.h"

enum io_opcode { FLUSH = 0x00, WRITE = 0x01, READ = 0x02, WRITE_ZEROES = 0x08, DATASET = 0x09 };

#define FORCE_UNIT_ACCESS (1u << 30) /* in cdw12 */
#define DEALLOCATE (1u << 25)        /* in cdw12 of WRITE_ZEROES */
#define DATASET_DEALLOCATE 4u        /* in cdw11 of DATASET */

/* A range of DATASET. */
struct range {
	uint32_t attributes, sectors;
	uint64_t sector;
};

/* Stores the bytes of these sectors. */
static uint16_t
locate(const struct nvme *n, uint64_t sector, uint64_t sectors, uint64_t *at, uint64_t *length)
{
	uint64_t all = n->block.bytes / BLOCK_SECTOR;

	if (sector > all || sectors > all - sector)
		return NVME_LBA_RANGE;
	*at = sector * BLOCK_SECTOR;
	*length = sectors * BLOCK_SECTOR;
	return NVME_SUCCESS;
}

static uint64_t
first_sector(const struct nvme_command *c)
{
	return (uint64_t)c->cdw11 << 32 | c->cdw10;
}

static uint64_t
sector_count(const struct nvme_command *c)
{
	return (c->cdw12 & 0xffff) + 1;
}

static uint16_t
read_write(struct minivmm_device *dev, struct nvme_request *r)
{
	struct nvme *n = minivmm_state(dev);
	const struct nvme_command *c = &r->command;
	struct nvme_part parts[NVME_PARTS];
	uint32_t count;
	uint16_t status;

	r->job.type = c->opcode == READ ? BLOCK_READ : BLOCK_WRITE;
	if (sector_count(c) > NVME_DATA / BLOCK_SECTOR)
		return NVME_INVALID_FIELD;
	status = locate(n, first_sector(c), sector_count(c), &r->job.at, &r->job.length);
	if (!status)
		status = nvme_prp(dev, c, (uint32_t)r->job.length, parts, &count);
	for (uint32_t i = 0; !status && i < count; i++)
		if (block_map(&n->block, &r->job, parts[i].gpa, parts[i].length))
			status = NVME_TRANSFER_ERROR;
	return status;
}

static uint16_t
write_zeroes(struct nvme *n, struct nvme_request *r)
{
	const struct nvme_command *c = &r->command;
	struct block_range *range = r->job.ranges;

	r->job.type = BLOCK_ZERO;
	r->job.range_count = 1;
	range->unmap = c->cdw12 & DEALLOCATE;
	return locate(n, first_sector(c), sector_count(c), &range->at, &range->length);
}

static uint16_t
dataset(struct minivmm_device *dev, struct nvme *n, struct nvme_request *r)
{
	uint32_t count = (r->command.cdw10 & 0xff) + 1;
	struct range ranges[BLOCK_RANGES];
	uint16_t status = nvme_copy_in(dev, &r->command, ranges, count * sizeof(*ranges));

	r->job.type = BLOCK_DISCARD;
	for (uint32_t i = 0; i < count && !status; i++) {
		struct block_range *range = &r->job.ranges[i];

		status = locate(n, ranges[i].sector, ranges[i].sectors, &range->at, &range->length);
	}
	/* The other attributes are hints without a meaning here. */
	r->job.range_count = status || !(r->command.cdw11 & DATASET_DEALLOCATE) ? 0 : count;
	return status;
}

static uint16_t
parse(struct minivmm_device *dev, struct nvme_request *r)
{
	struct nvme *n = minivmm_state(dev);
	const struct nvme_command *c = &r->command;
	bool flush = c->opcode == FLUSH;

	r->job.flush = !(n->features[FEATURE_WRITE_CACHE] & 1);
	if (c->flags)
		return NVME_INVALID_FIELD;
	if (!flush && c->opcode != READ && c->opcode != WRITE && c->opcode != WRITE_ZEROES &&
	    c->opcode != DATASET)
		return NVME_INVALID_OPCODE;
	if (c->nsid != NVME_NAMESPACE && !(flush && c->nsid == NVME_ALL_NAMESPACES))
		return NVME_INVALID_NAMESPACE;
	if (flush)
		return NVME_SUCCESS;
	if (c->opcode != READ && n->block.readonly)
		return NVME_WRITE_PROTECTED;
	if (c->opcode == DATASET)
		return dataset(dev, n, r);
	r->job.flush |= (c->cdw12 & FORCE_UNIT_ACCESS) != 0;
	return c->opcode == WRITE_ZEROES ? write_zeroes(n, r) : read_write(dev, r);
}

bool
nvme_io(struct minivmm_device *dev, struct nvme_request *r)
{
	r->status = parse(dev, r);
	return !r->status && (r->job.type != BLOCK_DISCARD || r->job.range_count);
}

/* The status for an errno. */
static uint16_t
failure(const struct block_job *job)
{
	if (job->error == ENOSPC || job->error == EDQUOT)
		return NVME_CAPACITY;
	return job->type == BLOCK_READ ? NVME_READ_ERROR : NVME_WRITE_FAULT;
}

void
nvme_complete(struct minivmm_device *dev, struct block_job *job)
{
	struct nvme_request *r = (struct nvme_request *)job;
	struct nvme *n = minivmm_state(dev);

	if (r->queue == NVME_NO_QUEUE) {
		n->flushing = false;
		n->csts = (n->csts & ~(uint32_t)CSTS_SHUTTING) | CSTS_SHUT;
		return;
	}
	if (job->executed)
		r->status = job->error ? failure(job) : NVME_SUCCESS;
	if (!r->status && job->type == BLOCK_READ) {
		n->reads++;
		n->bytes_read += job->length;
	} else if (!r->status && job->type == BLOCK_WRITE) {
		n->writes++;
		n->bytes_written += job->length;
	}
	nvme_post(dev, r->queue, &r->command, r->status, 0);
}

void
nvme_hold(struct minivmm_device *dev, const struct block_job *job, uint32_t i)
{
	const struct nvme_request *r = (const struct nvme_request *)job;
	const struct nvme_command *c = &r->command;
	struct nvme *n = minivmm_state(dev);

	n->held_queues[i] = r->queue;
	n->held_cdw0[i] =
	    (uint64_t)c->nsid << 32 | (uint32_t)c->cid << 16 | (uint32_t)c->flags << 8 | c->opcode;
	n->held_prp1[i] = c->prp1;
	n->held_prp2[i] = c->prp2;
	n->held_cdw10[i] = first_sector(c);
	n->held_cdw12[i] = c->cdw12;
}

int
nvme_again_held(struct minivmm_device *dev, struct block_job *job, uint32_t i)
{
	struct nvme_request *r = (struct nvme_request *)job;
	struct nvme *n = minivmm_state(dev);

	r->queue = n->held_queues[i];
	if (r->queue == NVME_NO_QUEUE) { /* it begins again */
		n->flushing = false;
		return -1;
	}
	r->command = (struct nvme_command){
		.opcode = n->held_cdw0[i] & 0xff,
		.flags = n->held_cdw0[i] >> 8 & 0xff,
		.cid = n->held_cdw0[i] >> 16 & 0xffff,
		.nsid = (uint32_t)(n->held_cdw0[i] >> 32),
		.prp1 = n->held_prp1[i],
		.prp2 = n->held_prp2[i],
		.cdw10 = (uint32_t)n->held_cdw10[i],
		.cdw11 = (uint32_t)(n->held_cdw10[i] >> 32),
		.cdw12 = n->held_cdw12[i],
	};
	return nvme_io(dev, r);
}
