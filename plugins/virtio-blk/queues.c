/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The disk's queues: takes requests, has them executed, and returns them. The notifying vCPU
 * executes requests one at a time, or threads or io_uring execute them in parallel. The I/O thread
 * executes none, and a vCPU none for which a pause waits: threads do that in any case.
 *
 * No request is in flight while the machine is paused. A pause waits for the current step of each,
 * and holds the rest: the state has its head and what is done of it.
 */
#include <errno.h>
#include <stdlib.h>

#include "blk.h"

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
		minivmm_error(dev, "no memory for a request, which stays in its queue: %s",
			      minivmm_error_text(dev, MINIVMM_CALL_OTHER, ENOMEM).text);
	return job;
}

static void
blk_spare(struct blk *b, struct blk_job *job)
{
	job->next = b->spare;
	b->spare = job;
}

/* Returns whether the rate limit admits a request now. If not, sets the timer that processes the
 * queues again. */
static bool
blk_rate_admits(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);
	uint64_t until = *b->rate ? rate_wait(&b->limit, minivmm_now(dev)) : 0;

	if (until)
		minivmm_timer_set(dev, BLK_TIMER_RATE, until, 0);
	return !until;
}

/*
 * Executes a job: here while the thread may wait (io = sync, on a vCPU's thread), else by the
 * kernel or the workers. more: false if job_begin() has completed it.
 */
static void
blk_execute(struct minivmm_device *dev, struct blk_job *job, bool more)
{
	struct blk *b = minivmm_state(dev);

	if (b->io == SYNC && !disk_remote(&b->disk))
		while (more && minivmm_may_wait(dev))
			more = job_step(b, job);
	if (more && b->io == SYNC && workers_start(dev, &b->workers, WORKERS))
		while (more) /* better late than never */
			more = job_step(b, job);
	if (more) {
		b->flight++;
		b->flight_bytes += job_bytes(job);
		if (!b->ring || !ring_give(b, job))
			workers_give(&b->workers, job);
		return;
	}
	job_end(dev, job);
	blk_spare(b, job);
}

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

/* Takes requests from a queue up to the limit of jobs in flight. */
static void
blk_take(struct minivmm_device *dev, uint32_t queue)
{
	struct blk *b = minivmm_state(dev);
	struct blk_job *job;

	while (!b->pausing && b->flight + b->held_count < FLIGHT &&
	       b->flight_bytes < FLIGHT_BYTES && blk_rate_admits(dev) && (job = blk_job(dev))) {
		uint64_t bytes;
		bool more;

		job->queue = queue;
		if (virtio_pop(dev, &b->virtio, queue, &job->request) <= 0 ||
		    !blk_whole(dev, &job->request)) {
			blk_spare(b, job);
			break;
		}
		more = job_begin(dev, job);
		bytes = more ? job_bytes(job) : 0;
		if (*b->rate)
			rate_take(&b->limit, minivmm_now(dev), bytes);
		if (job->range_count) /* virtio_pop() does not know what it clears */
			virtio_spend(&b->virtio, bytes / VIRTIO_TURN_BYTES);
		blk_execute(dev, job, more);
	}
}

/* Keeps the request of a job that is not complete for the time after the pause. */
static void
blk_hold(struct minivmm_device *dev, const struct blk_job *job)
{
	struct blk *b = minivmm_state(dev);
	uint32_t i = b->held_count++;

	b->held_queues[i] = (uint8_t)job->queue;
	b->held_heads[i] = job->request.head;
	b->held_done[i] = job->done;
}

/* Continues the requests that a pause has interrupted. */
static void
blk_continue(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);
	struct blk_job *job;

	while (b->held_count && (job = blk_job(dev))) {
		uint32_t i = --b->held_count;
		bool more;

		job->queue = b->held_queues[i];
		if (!virtio_live(&b->virtio, job->queue) ||
		    virtio_again(dev, &b->virtio, job->queue, b->held_heads[i], &job->request) ||
		    !blk_whole(dev, &job->request)) {
			blk_spare(b, job);
			continue;
		}
		more = job_begin(dev, job);
		if (more && b->held_done[i] <= job_bytes(job))
			job->done = b->held_done[i];
		blk_execute(dev, job, more);
	}
	if (b->ring)
		ring_submit(dev);
}

/* Returns completed jobs to the driver, or drops all (forget). Those that are not complete are held
 * or continue. Returns whether there were any. */
static bool
blk_end(struct minivmm_device *dev, struct blk_job *jobs, bool forget)
{
	struct blk *b = minivmm_state(dev);
	struct blk_job *next;

	for (struct blk_job *job = jobs; job; job = next) {
		next = job->next;
		b->flight--;
		b->flight_bytes -= job_bytes(job);
		if (!forget && job->more && !b->pausing) {
			blk_execute(dev, job, true);
			continue;
		}
		if (!forget && job->more)
			blk_hold(dev, job);
		if (forget || job->more)
			job_drop(dev, job);
		else
			job_end(dev, job);
		blk_spare(b, job);
	}
	if (jobs && b->pausing && !b->flight)
		minivmm_paused(dev);
	return jobs;
}

/* The kernel completes many requests during the submission, which makes room for more. */
int
blk_notify(struct minivmm_device *dev, uint32_t queue)
{
	struct blk *b = minivmm_state(dev);

	do {
		blk_take(dev, queue);
		if (b->ring)
			ring_submit(dev);
	} while (b->ring && blk_end(dev, ring_take(b), false));
	return 0;
}

int
blk_done(struct minivmm_device *dev, uint32_t post)
{
	struct blk *b = minivmm_state(dev);

	blk_end(dev, workers_take(&b->workers), false);
	if (b->ring)
		ring_submit(dev);
	return b->pausing ? 0 : virtio_process_pending(dev, 0);
}

int
blk_ring(struct minivmm_device *dev, uint32_t watch, uint32_t events)
{
	struct blk *b = minivmm_state(dev);

	return blk_end(dev, ring_ready(b), false) && !b->pausing ? virtio_process_pending(dev, 0)
								 : 0;
}

int
blk_rate(struct minivmm_device *dev, uint32_t timer, uint64_t periods)
{
	return virtio_process_pending(dev, 0);
}

void
blk_reset(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	if (b->ring)
		blk_end(dev, ring_recall(b), true);
	blk_end(dev, workers_recall(&b->workers), true);
	b->held_count = 0;
}

int
blk_pause(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	b->pausing = true;
	blk_end(dev, workers_yield(&b->workers), false);
	return b->flight ? MINIVMM_PENDING : 0;
}

int
blk_resume(struct minivmm_device *dev)
{
	struct blk *b = minivmm_state(dev);

	b->pausing = false;
	workers_go(&b->workers);
	blk_continue(dev);
	return virtio_process_pending(dev, 0);
}
