/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests by io_uring: only those that one short system call on one file executes (disk.h). If a
 * call does not complete a request as a whole, the worker threads execute the request from its
 * beginning and set its result.
 *
 * All functions run under the device's lock, so the ring needs no lock.
 */
#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "jobs.h"

#define TRIES 16u            /* of one submission that fails */
#define RING_CALL (4u << 20) /* the most that one call reads, writes or clears, in bytes */

struct ring {
	struct io_uring io;
	int event;
	uint32_t flight; /* calls queued or submitted, and not completed */
};

static int
ring_unavailable(struct minivmm_device *dev, struct ring *ring, int error)
{
	minivmm_error(dev, "cannot use io_uring on this host: %s; set io = threads",
		      minivmm_error_text(dev, MINIVMM_CALL_LOCKED, error).text);
	if (ring && ring->event >= 0)
		close(ring->event);
	free(ring);
	return -1;
}

int
ring_start(struct block *b)
{
	struct ring *ring = b->ring;
	int r;

	if (ring)
		return 0;
	ring = calloc(1, sizeof(*ring));
	if (!ring)
		return ring_unavailable(b->dev, NULL, ENOMEM);
	ring->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (ring->event < 0)
		return ring_unavailable(b->dev, ring, errno);
	r = io_uring_queue_init(BLOCK_FLIGHT, &ring->io, 0);
	if (r)
		return ring_unavailable(b->dev, ring, -r);
	/* In a branch, it would stay mapped, and exist, for as long as that and its branches. */
	io_uring_ring_dontfork(&ring->io);
	b->ring = ring;
	r = io_uring_register_eventfd(&ring->io, ring->event);
	if (!r)
		return minivmm_watch(b->dev, b->front->ring_watch, ring->event, EPOLLIN);
	ring_end(b);
	return ring_unavailable(b->dev, NULL, -r);
}

void
ring_end(struct block *b)
{
	struct ring *ring = b->ring;

	if (!ring)
		return;
	io_uring_queue_exit(&ring->io);
	close(ring->event);
	free(ring);
	b->ring = NULL;
}

/* Describes the system call that executes the job. Returns false if there is no single one. */
static bool
find(struct block *b, struct block_job *job)
{
	/* A pause must wait for a call of the kernel; between the steps of a worker it need not. */
	if (block_bytes(job) > RING_CALL)
		return false;
	switch (job->type) {
	case BLOCK_READ:
		return disk_call_read(&b->disk, job->length, job->at, &job->call);
	case BLOCK_WRITE:
		/* On an overlay, a durable write also writes the bits of present: two calls. */
		return !(job->flush && b->disk.layers[b->disk.count - 1].overlay) &&
		       disk_call_write(&b->disk, job->length, job->at, &job->call);
	case BLOCK_FLUSH:
		return disk_call_flush(&b->disk, &job->call);
	default:
		return job->range_count == 1 && !job->flush &&
		       disk_call_zero(&b->disk, job_zero(job, 0), job->ranges[0].length,
				      job->ranges[0].at, &job->call);
	}
}

static void
prepare(struct io_uring_sqe *sqe, struct block_job *job)
{
	const struct disk_call *c = &job->call;

	switch (job->type) {
	case BLOCK_READ:
		io_uring_prep_readv(sqe, c->fd, job->pieces, job->piece_count, c->at);
		break;
	case BLOCK_WRITE:
		io_uring_prep_writev2(sqe, c->fd, job->pieces, job->piece_count, c->at,
				      job->flush ? RWF_DSYNC : 0);
		break;
	case BLOCK_FLUSH:
		if (c->fd < 0)
			io_uring_prep_nop(sqe);
		else
			io_uring_prep_fsync(sqe, c->fd, IORING_FSYNC_DATASYNC);
		break;
	default:
		io_uring_prep_fallocate(sqe, c->fd, c->mode, (off_t)c->at,
					(off_t)job->ranges[0].length);
	}
	io_uring_sqe_set_data(sqe, job);
}

bool
ring_give(struct block *b, struct block_job *job)
{
	struct io_uring_sqe *sqe;

	if (job->done || !find(b, job))
		return false;
	sqe = io_uring_get_sqe(&b->ring->io);
	if (!sqe) {
		disk_call_end(&b->disk, &job->call, false);
		return false;
	}
	prepare(sqe, job);
	b->ring->flight++;
	return true;
}

/* Takes back the calls that the kernel has not accepted: workers execute their jobs. */
static void
withdraw(struct block *b)
{
	struct io_uring_sq *sq = &b->ring->io.sq;
	unsigned head = io_uring_smp_load_acquire(sq->khead);

	/* liburing uses the entries in order: an entry's index is its place in the ring. */
	for (unsigned i = head; i != sq->sqe_tail; i++) {
		uint64_t data = sq->sqes[i & *sq->kring_mask].user_data;
		struct block_job *job = (struct block_job *)(uintptr_t)data;

		b->ring->flight--;
		disk_call_end(&b->disk, &job->call, false);
		workers_give(&b->workers, job);
	}
	/* The kernel reads the ring in io_uring_enter() only. */
	sq->sqe_head = sq->sqe_tail = head;
	io_uring_smp_store_release(sq->ktail, head);
}

void
ring_submit(struct block *b)
{
	struct ring *ring = b->ring;
	unsigned tries = 0;

	if (!io_uring_sq_ready(&ring->io))
		return;
	while (io_uring_submit(&ring->io) < 0 && ++tries < TRIES)
		;
	/* The kernel lacks a resource. */
	if (io_uring_sq_ready(&ring->io))
		withdraw(b);
}

/* Returns whether a worker must execute the job again after this result. A write error is not
 * retried: the kernel reports it only once. */
static bool
must_retry(const struct block_job *job, int result)
{
	bool moves = job->type == BLOCK_READ || job->type == BLOCK_WRITE;

	return (moves && result >= 0) || result == -EAGAIN || result == -EINTR ||
	       result == -ECANCELED || result == -EOPNOTSUPP || result == -EINVAL ||
	       (!moves && job->type != BLOCK_FLUSH);
}

/* See jobs.h. A job passed to the workers is not in the list. */
struct block_job *
ring_take(struct block *b)
{
	struct ring *ring = b->ring;
	struct block_job *jobs = NULL;
	struct io_uring_cqe *cqe;

	while (!io_uring_peek_cqe(&ring->io, &cqe)) {
		struct block_job *job = io_uring_cqe_get_data(cqe);
		int result = cqe->res;
		bool whole = job->type == BLOCK_READ || job->type == BLOCK_WRITE
				 ? result >= 0 && (uint64_t)result == job->length
				 : !result;

		io_uring_cqe_seen(&ring->io, cqe);
		ring->flight--;
		disk_call_end(&b->disk, &job->call, whole);
		if (!whole && must_retry(job, result)) {
			workers_give(&b->workers, job);
			continue;
		}
		job_done(job, whole ? 0 : -result);
		job->next = jobs;
		jobs = job;
	}
	return jobs;
}

struct block_job *
ring_ready(struct block *b)
{
	uint64_t count;

	/* Clear the event before reading completions: a later completion signals it again. */
	while (read(b->ring->event, &count, sizeof(count)) < 0 && errno == EINTR)
		;
	return ring_take(b);
}

struct block_job *
ring_recall(struct block *b)
{
	struct ring *ring = b->ring;
	struct block_job *all = NULL, **last = &all;

	while (ring->flight) {
		if (io_uring_submit_and_wait(&ring->io, 1) < 0)
			withdraw(b); /* what it has accepted, it completes */
		for (*last = ring_take(b); *last; last = &(*last)->next)
			;
	}
	return all;
}
