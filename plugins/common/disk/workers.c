/* SPDX-License-Identifier: BSD-2-Clause */
/* Threads that execute requests, which block. */
#include "jobs.h"
#include <signal.h>

static void *
worker(void *argument)
{
	struct block *b = argument;
	struct workers *w = &b->workers;

	pthread_mutex_lock(&w->lock);
	while (!w->ending) {
		struct block_job *job = w->first;

		if (!job) {
			pthread_cond_wait(&w->work, &w->lock);
			continue;
		}
		w->first = job->next;
		if (!w->first)
			w->last = &w->first;
		w->busy++;
		pthread_mutex_unlock(&w->lock);
		do
			job->more = job_step(b, job, false);
		while (job->more && !atomic_load(&w->yield));
		pthread_mutex_lock(&w->lock);
		job->next = w->done;
		w->done = job;
		w->busy--;
		pthread_cond_broadcast(&w->idle);
		minivmm_post(b->dev, b->front->done_post);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

void
workers_init(struct workers *w)
{
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->work, NULL);
	pthread_cond_init(&w->idle, NULL);
	w->last = &w->first;
}

void
workers_destroy(struct workers *w)
{
	pthread_cond_destroy(&w->idle);
	pthread_cond_destroy(&w->work);
	pthread_mutex_destroy(&w->lock);
}

int
workers_start(struct block *b)
{
	struct workers *w = &b->workers;
	sigset_t all, before;
	int error = 0;

	if (w->count == WORKERS)
		return 0;
	sigfillset(&all);
	/* A blocked SIGSEGV or SIGBUS would kill the process without a message. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	while (w->count < WORKERS && !error) {
		error = pthread_create(&w->threads[w->count], NULL, worker, b);
		w->count += !error;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		minivmm_error(b->dev, "cannot start a worker thread: %s",
			      minivmm_error_text(b->dev, MINIVMM_CALL_THREAD, error).text);
	return error ? -1 : 0;
}

void
workers_end(struct workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->ending = true;
	pthread_cond_broadcast(&w->work);
	pthread_mutex_unlock(&w->lock);
	for (uint32_t i = 0; i < w->count; i++)
		pthread_join(w->threads[i], NULL);
	w->count = 0;
}

void
workers_give(struct workers *w, struct block_job *job)
{
	job->next = NULL;
	job->more = true; /* until a worker says otherwise */
	pthread_mutex_lock(&w->lock);
	*w->last = job;
	w->last = &job->next;
	pthread_cond_signal(&w->work);
	pthread_mutex_unlock(&w->lock);
}

struct block_job *
workers_take(struct workers *w)
{
	struct block_job *jobs;

	pthread_mutex_lock(&w->lock);
	jobs = w->done;
	w->done = NULL;
	pthread_mutex_unlock(&w->lock);
	return jobs;
}

struct block_job *
workers_yield(struct workers *w)
{
	struct block_job *jobs;

	atomic_store(&w->yield, true);
	pthread_mutex_lock(&w->lock);
	jobs = w->first;
	w->first = NULL;
	w->last = &w->first;
	pthread_mutex_unlock(&w->lock);
	return jobs;
}

void
workers_go(struct workers *w)
{
	atomic_store(&w->yield, false);
}

struct block_job *
workers_recall(struct workers *w)
{
	bool yields = atomic_exchange(&w->yield, true);
	struct block_job *jobs;

	pthread_mutex_lock(&w->lock);
	jobs = w->first;
	w->first = NULL;
	while (w->busy)
		pthread_cond_wait(&w->idle, &w->lock);
	*(jobs ? w->last : &jobs) = w->done;
	w->done = NULL;
	w->last = &w->first;
	pthread_mutex_unlock(&w->lock);
	atomic_store(&w->yield, yields);
	return jobs;
}
