/* SPDX-License-Identifier: BSD-2-Clause */
/* Jobs from their beginning to their completion, and what a pause makes of them: see block.h. */
#include <errno.h>
#include <stdlib.h>

#include "jobs.h"

struct block_job *
block_job(struct block *b)
{
	struct block_job *job = b->spare;

	if (job)
		b->spare = job->next;
	else
		job = malloc(b->front->job_size);
	if (!job) {
		minivmm_error(b->dev, "no memory for a request, which stays in its queue: %s",
			      minivmm_error_text(b->dev, MINIVMM_CALL_OTHER, ENOMEM).text);
		return NULL;
	}
	job->type = BLOCK_FLUSH;
	job->flush = job->more = job->waits = job->executed = false;
	job->at = job->length = job->done = 0;
	job->piece_count = job->range_count = 0;
	job->error = 0;
	job->call = (struct disk_call){ .fd = -1 };
	return job;
}

void
block_spare(struct block *b, struct block_job *job)
{
	job->next = b->spare;
	b->spare = job;
}

/* Returns whether the rate limit admits a job now. If not, sets the timer that takes commands
 * again. */
static bool
rate_admits(struct block *b)
{
	uint64_t until = *b->rate ? rate_wait(&b->limit, minivmm_now(b->dev)) : 0;

	if (until)
		minivmm_timer_set(b->dev, b->front->rate_timer, until, 0);
	return !until;
}

bool
block_admits(struct block *b)
{
	return !b->pausing && b->flight + b->held_count < BLOCK_FLIGHT &&
	       b->flight_bytes < BLOCK_FLIGHT_BYTES && rate_admits(b);
}

/* Logs what the driver is not told. */
static void
log_failure(struct block *b, const struct block_job *job)
{
	disk_log_connection(&b->disk);
	/* Lost connections are logged once, by disk_log_connection(). */
	if (!job->error || job->error == ENOTCONN)
		return;
	minivmm_error(b->dev, "cannot %s the disk %s at 0x%llx: %s",
		      job->type == BLOCK_READ ? "read" : "write", b->path,
		      (unsigned long long)job->at,
		      minivmm_error_text(b->dev, MINIVMM_CALL_OTHER, job->error).text);
}

static void
complete(struct block *b, struct block_job *job)
{
	log_failure(b, job);
	job_unmap(b, job);
	b->front->complete(b->dev, job);
	block_spare(b, job);
}

/*
 * Executes a job: here while the thread may wait (io = sync or auto, on a vCPU's thread), else by
 * the kernel or the workers. more: false if it is complete.
 */
static void
execute(struct block *b, struct block_job *job, bool more)
{
	if (!block_binds(b) && !disk_remote(&b->disk))
		while (more && !job->waits && minivmm_may_wait(b->dev))
			more = job_step(b, job, b->io == BLOCK_AUTO);
	if (more && !block_binds(b) && workers_start(b))
		while (more) /* better late than never */
			more = job_step(b, job, false);
	if (!more) {
		complete(b, job);
		return;
	}
	b->flight++;
	b->flight_bytes += block_bytes(job);
	if (!b->ring || !ring_give(b, job))
		workers_give(&b->workers, job);
}

void
block_begin(struct block *b, struct block_job *job, bool more)
{
	if (*b->rate)
		rate_take(&b->limit, minivmm_now(b->dev), more ? block_bytes(job) : 0);
	execute(b, job, more);
}

/* Keeps a job that is not complete for the time after the pause. */
static void
hold(struct block *b, const struct block_job *job)
{
	b->front->hold(b->dev, job, b->held_count);
	b->held_done[b->held_count++] = job->done;
}

/* Continues the jobs that a pause has interrupted. */
static void
continue_held(struct block *b)
{
	struct block_job *job;

	while (b->held_count && (job = block_job(b))) {
		uint32_t i = --b->held_count;
		int more = b->front->again(b->dev, job, i);

		if (more < 0) {
			block_spare(b, job);
			continue;
		}
		if (more && b->held_done[i] <= block_bytes(job))
			job->done = b->held_done[i];
		execute(b, job, more);
	}
	if (b->ring)
		ring_submit(b);
}

/* Completes jobs, or drops all (forget). Those that are not complete are held or continue. Returns
 * whether there were any. */
static bool
end(struct block *b, struct block_job *jobs, bool forget)
{
	struct block_job *next;

	for (struct block_job *job = jobs; job; job = next) {
		next = job->next;
		b->flight--;
		b->flight_bytes -= block_bytes(job);
		if (!forget && !job->more) {
			complete(b, job);
			continue;
		}
		if (!forget && !b->pausing) {
			execute(b, job, true);
			continue;
		}
		if (!forget)
			hold(b, job);
		job_unmap(b, job);
		block_spare(b, job);
	}
	if (jobs && b->pausing && !b->flight)
		minivmm_paused(b->dev);
	return jobs;
}

/* The kernel completes many requests during the submission, which makes room for more. */
bool
block_submit(struct block *b)
{
	if (!b->ring)
		return false;
	ring_submit(b);
	return end(b, ring_take(b), false);
}

int
block_done(struct minivmm_device *dev, uint32_t post)
{
	struct block *b = block_of(dev);

	end(b, workers_take(&b->workers), false);
	if (b->ring)
		ring_submit(b);
	if (!b->pausing) {
		disk_merge_start(&b->disk);
		disk_check_room(&b->disk);
	}
	return b->pausing ? 0 : b->front->take(dev);
}

int
block_ring_done(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	struct block *b = block_of(dev);

	return end(b, ring_ready(b), false) && !b->pausing ? b->front->take(dev) : 0;
}

int
block_rate(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	return block_of(dev)->front->take(dev);
}

void
block_reset(struct minivmm_device *dev)
{
	struct block *b = block_of(dev);

	if (b->ring)
		end(b, ring_recall(b), true);
	end(b, workers_recall(&b->workers), true);
	b->held_count = 0;
}

int
block_pause(struct minivmm_device *dev)
{
	struct block *b = block_of(dev);

	b->pausing = true;
	end(b, workers_yield(&b->workers), false);
	return b->flight ? MINIVMM_PENDING : 0;
}

int
block_resume(struct minivmm_device *dev)
{
	struct block *b = block_of(dev);

	b->pausing = false;
	workers_go(&b->workers);
	continue_held(b);
	if (b->disk.merge.wanted) /* not here: the machine still stands */
		minivmm_post(dev, b->front->done_post);
	return b->front->take(dev);
}
