/* SPDX-License-Identifier: BSD-2-Clause */
/* Executes a job in steps, and maps its memory. */
#include <errno.h>

#include "jobs.h"

#define STEP_MOVE (1u << 20) /* bytes that a step reads or writes, ending with a cluster */
#define STEP_ZERO (4u << 20) /* bytes that a step clears */

bool
block_contains(const struct block *b, uint64_t at, uint64_t length)
{
	uint64_t bytes = b->bytes / BLOCK_SECTOR * BLOCK_SECTOR;

	return at % BLOCK_SECTOR == 0 && length % BLOCK_SECTOR == 0 && at <= bytes &&
	       length <= bytes - at;
}

static void
unmap(struct block *b, struct block_job *job, uint64_t written)
{
	for (uint32_t i = 0; i < job->piece_count; i++) {
		uint64_t part = job->pieces[i].iov_len < written ? job->pieces[i].iov_len : written;

		minivmm_memory_unmap(b->dev, job->gpas[i], part);
		written -= part;
	}
	job->piece_count = 0;
}

int
block_map(struct block *b, struct block_job *job, uint64_t gpa, uint64_t length)
{
	void *memory =
	    job->piece_count < DISK_PIECES ? minivmm_memory_map(b->dev, gpa, length) : NULL;

	if (!memory) {
		unmap(b, job, 0);
		return -1;
	}
	job->gpas[job->piece_count] = gpa;
	job->pieces[job->piece_count++] = (struct iovec){ memory, length };
	return 0;
}

void
job_unmap(struct block *b, struct block_job *job)
{
	unmap(b, job, job->type == BLOCK_READ ? job->length : 0);
}

static bool
moves(const struct block_job *job)
{
	return job->type == BLOCK_READ || job->type == BLOCK_WRITE;
}

uint64_t
block_bytes(const struct block_job *job)
{
	uint64_t bytes = moves(job) ? job->length : 0;

	for (uint32_t i = 0; i < job->range_count; i++)
		bytes += job->ranges[i].length;
	return bytes;
}

enum disk_zero
job_zero(const struct block_job *job, uint32_t range)
{
	if (job->type == BLOCK_DISCARD)
		return DISK_DISCARD;
	return job->ranges[range].unmap ? DISK_UNMAP : DISK_ZERO;
}

/* Stores length bytes of the job's memory from offset skip on as segments. Returns their number. */
static uint32_t
slice(const struct block_job *job, uint64_t skip, uint64_t length, struct iovec *pieces)
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

/* Reads or writes a part of the data. Returns its length, or -1 with errno. nowait: EAGAIN if the
 * read would wait. */
static int64_t
move_some(struct disk *disk, const struct block_job *job, bool nowait)
{
	struct iovec pieces[DISK_PIECES];
	uint64_t at = job->at + job->done, part = STEP_MOVE - at % DISK_CLUSTER;
	uint32_t count;
	int r;

	part = part < job->length - job->done ? part : job->length - job->done;
	count = slice(job, job->done, part, pieces);
	if (job->type == BLOCK_WRITE)
		r = disk_write(disk, pieces, count, part, at);
	else if (nowait)
		r = disk_read_nowait(disk, pieces, count, part, at);
	else
		r = disk_read(disk, pieces, count, part, at);
	return r ? -1 : (int64_t)part;
}

/* Clears a part of the ranges. Returns its length, or -1 with errno. */
static int64_t
zero_some(struct disk *disk, const struct block_job *job)
{
	uint64_t skip = job->done, part;
	uint32_t i;

	for (i = 0; skip >= job->ranges[i].length; i++)
		skip -= job->ranges[i].length;
	part = job->ranges[i].length - skip;
	part = part < STEP_ZERO ? part : STEP_ZERO;
	return disk_zero(disk, job_zero(job, i), part, job->ranges[i].at + skip) ? -1
										 : (int64_t)part;
}

bool
job_step(struct block *b, struct block_job *job, bool nowait)
{
	bool flushes = job->type == BLOCK_FLUSH || (job->flush && job->type != BLOCK_READ);
	uint64_t all = block_bytes(job);
	int64_t r = 0;

	if (job->done < all) {
		r = moves(job) ? move_some(&b->disk, job, nowait) : zero_some(&b->disk, job);
		job->waits = nowait && job->type == BLOCK_READ && r < 0 && errno == EAGAIN;
		if (job->waits)
			return true;
		job->done += r > 0 ? (uint64_t)r : 0;
		if (r > 0 && (job->done < all || flushes))
			return true;
	} else if (flushes)
		r = disk_flush(&b->disk);
	job_done(job, r >= 0 ? 0 : errno ? errno : EIO);
	return false;
}

void
job_done(struct block_job *job, int error)
{
	job->more = false;
	job->executed = true;
	job->error = error;
}
