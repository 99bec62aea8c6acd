/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that execute jobs, which block. */
#ifndef PLUGINS_COMMON_DISK_WORKERS_H
#define PLUGINS_COMMON_DISK_WORKERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define WORKERS 4u

struct block;
struct block_job;

/* Worker threads and their jobs. */
struct workers {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct block_job *first, **last; /* queued jobs; last: where to link the next */
	struct block_job *done;
	uint32_t busy; /* workers that execute a job */
	uint32_t count;
	atomic_bool yield; /* return each job after its current step */
	bool ending;
	pthread_t threads[WORKERS];
};

void workers_init(struct workers *workers);
/* Starts the threads, once. Returns 0, or -1 after minivmm_error(). */
int workers_start(struct block *b);
void workers_end(struct workers *workers);
void workers_destroy(struct workers *workers);
void workers_give(struct workers *workers, struct block_job *job);
/* Returns the list of jobs that the workers have returned: completed, or with more set. */
struct block_job *workers_take(struct workers *workers);
/* Makes the workers return their jobs after the current step, until workers_go(). Returns the jobs
 * that no worker has begun, with more set. */
struct block_job *workers_yield(struct workers *workers);
void workers_go(struct workers *workers);
/* Returns all jobs after waiting for the steps in execution. */
struct block_job *workers_recall(struct workers *workers);

#endif
