/* SPDX-License-Identifier: BSD-2-Clause */
/* Execution of jobs: step.c by system calls that block, ring.c by io_uring. Internal. */
#ifndef PLUGINS_COMMON_DISK_JOBS_H
#define PLUGINS_COMMON_DISK_JOBS_H

#include "block.h"

/* step.c. Executes the next part of the job, which takes some milliseconds unless the host is slow.
 * Returns whether there is more to do; if not, it has called job_done(). nowait: a read that would
 * wait for the disk does nothing but set job->waits. Any thread. */
bool job_step(struct block *b, struct block_job *job, bool nowait);
/* Sets the job's result; error: an errno, or 0. */
void job_done(struct block_job *job, int error);
/* Returns how to clear this range of the job. */
enum disk_zero job_zero(const struct block_job *job, uint32_t range);
/* Releases the job's memory. */
void job_unmap(struct block *b, struct block_job *job);

/* ring.c. Sets up io_uring; on the I/O thread. Returns 0, or -1 after minivmm_error(). */
int ring_start(struct block *b);
void ring_end(struct block *b);
/* Queues the job for the kernel. Returns false if one short system call cannot execute it. */
bool ring_give(struct block *b, struct block_job *job);
/* Submits the queued jobs to the kernel. */
void ring_submit(struct block *b);
/*
 * Returns the list of completed jobs. Passes jobs that the kernel did not complete to the workers.
 */
struct block_job *ring_take(struct block *b);
/* As ring_take(), after the watch has reported completions. */
struct block_job *ring_ready(struct block *b);
/* Returns all jobs, after waiting for the kernel to complete them. */
struct block_job *ring_recall(struct block *b);

#endif
