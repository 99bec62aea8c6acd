/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio disk. blk.c is the device, queues.c takes requests from the queues, request.c parses and
 * completes them, disk.h stores the data. workers.c (threads) and ring.c (io_uring) execute
 * requests asynchronously.
 *
 * A request is a job in three steps. job_begin() parses it and maps its memory. The vCPU's thread,
 * a worker thread or the kernel executes it. job_end() returns it to the driver. The first and the
 * last step run under the device's lock.
 */
#ifndef PLUGINS_VIRTIO_BLK_H
#define PLUGINS_VIRTIO_BLK_H

#include <pthread.h>

#include "../common/queue.h"
#include "../common/rate.h"
#include "disk.h"

#define SECTOR 512u
#define RANGE_SECTORS (1u << 17) /* maximum of one range: 64 MiB */
#define RANGES 16u               /* maximum per request */
#define WORKERS 4u
#define FLIGHT 64u               /* maximum number of jobs in flight */
#define FLIGHT_BYTES (16u << 20) /* no further job begins while this many bytes are in flight */

#define BLK_F_SEG_MAX (1ull << 2)
#define BLK_F_RO (1ull << 5)
#define BLK_F_BLK_SIZE (1ull << 6)
#define BLK_F_FLUSH (1ull << 9)
#define BLK_F_MQ (1ull << 12)
#define BLK_F_DISCARD (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

enum blk_type { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum blk_status { OK = 0, IOERR = 1, UNSUPP = 2 };
enum blk_io { SYNC, THREADS, IO_URING }; /* values of option io */

struct blk_range {
	uint64_t sector;
	uint32_t sectors, flags;
};

struct blk_job {
	struct blk_job *next;
	struct virtio_request request;
	uint32_t queue, type;
	uint64_t at, length; /* range of the disk, in bytes */
	uint64_t done;       /* of job_bytes(): a pause gets in between two steps */
	struct iovec pieces[DISK_PIECES];
	uint64_t gpas[DISK_PIECES];
	uint32_t piece_count;
	struct blk_range ranges[RANGES];
	uint32_t range_count;
	struct disk_call call; /* for ring.c */
	bool flush;            /* the write must be on stable storage when it completes */
	bool more;             /* a worker has returned it before its last step */
	uint8_t status;        /* enum blk_status, for the driver */
	int error;             /* errno of a failure that job_end() logs; 0: none */
	uint32_t written;      /* length for the used ring, in bytes */
};

/* Worker threads and their jobs. */
struct workers {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct blk_job *first, **last; /* queued jobs; last: where to link the next */
	struct blk_job *done;
	uint32_t busy; /* workers that execute a job */
	uint32_t count;
	atomic_bool yield; /* return each job after its current step */
	bool ending;
	pthread_t threads[WORKERS];
};

struct blk {
	struct virtio virtio;
	const char *path, *layers, *overlay, *serial, *rate, *burst; /* options */
	bool readonly, temporary;
	uint32_t io;         /* option: enum blk_io */
	uint32_t format;     /* option: enum with one value */
	uint16_t queues;     /* option */
	uint32_t changed;    /* option: enum, whether a modified disk is refused */
	uint64_t bytes;      /* state: size of the disk */
	uint64_t changed_at; /* state: disk_changed() at the last snapshot */
	struct rate limit;   /* state */
	uint32_t origin;     /* number of layers at the restore */
	struct disk disk;
	struct workers workers;
	struct ring *ring;     /* NULL: io_uring is not used */
	struct blk_job *spare; /* free list */
	uint32_t flight;       /* jobs that the workers or the kernel have */
	uint64_t flight_bytes; /* their job_bytes() */
	bool pausing;          /* begin no jobs: the machine is paused or pausing */
	/* State: requests that a pause has interrupted: queue, head, and bytes that are done. */
	uint32_t held_count;
	uint8_t held_queues[FLIGHT];
	uint16_t held_heads[FLIGHT];
	uint64_t held_done[FLIGHT];
};

/* queues.c. Takes requests from the queue and begins their jobs; kind.notify. */
int blk_notify(struct minivmm_device *dev, uint32_t queue);
/* The workers or the kernel have completed jobs, or the rate limit admits the next: a post, a watch
 * and a timer, on the I/O thread. */
int blk_done(struct minivmm_device *dev, uint32_t post);
int blk_ring(struct minivmm_device *dev, uint32_t watch, uint32_t events);
int blk_rate(struct minivmm_device *dev, uint32_t timer, uint64_t periods);
/* Drops all jobs: after a reset, no request of the driver may take effect. Blocks while a worker is
 * in a system call. */
void blk_reset(struct minivmm_device *dev);
/* The plugin's pause and resume: no job is in flight in between. */
int blk_pause(struct minivmm_device *dev);
int blk_resume(struct minivmm_device *dev);

/* request.c. Parses the request and maps its memory. Returns true if the job must be executed; else
 * its status is set and job_end() follows. */
bool job_begin(struct minivmm_device *dev, struct blk_job *job);
/* Returns the bytes that the job reads, writes or clears, for rate limits. */
uint64_t job_bytes(const struct blk_job *job);
/* Returns how to clear this range of the job. */
enum disk_zero job_zero(const struct blk_job *job, uint32_t range);
/* Sets the job's result; error: an errno, or 0. */
void job_done(struct blk_job *job, int error);
/* Executes the next part of the job, which takes some milliseconds unless the host is slow. Returns
 * whether there is more to do; if not, it has called job_done(). Any thread. */
bool job_step(struct blk *b, struct blk_job *job);
/* Returns the request to the driver, unless the queue is no longer live. 0, or -1 if it could not
 * be returned. */
int job_end(struct minivmm_device *dev, struct blk_job *job);
/* Releases the job's memory without returning the request. */
void job_drop(struct minivmm_device *dev, struct blk_job *job);

/* workers.c. Starts threads until there are count. Returns 0, or -1 after minivmm_error(). */
int workers_start(struct minivmm_device *dev, struct workers *workers, uint32_t count);
void workers_end(struct workers *workers);
void workers_give(struct workers *workers, struct blk_job *job);
/* Returns the list of jobs that the workers have returned: completed, or with more set. */
struct blk_job *workers_take(struct workers *workers);
/* Makes the workers return their jobs after the current step, until workers_go(). Returns the jobs
 * that no worker has begun, with more set. */
struct blk_job *workers_yield(struct workers *workers);
void workers_go(struct workers *workers);
/* Returns all jobs after waiting for the steps in execution. */
struct blk_job *workers_recall(struct workers *workers);

/* ring.c. Sets up io_uring; on the I/O thread. Returns 0, or -1 after minivmm_error(). */
int ring_start(struct minivmm_device *dev);
void ring_end(struct blk *b);
/* Queues the job for the kernel. Returns false if one short system call cannot execute it. */
bool ring_give(struct blk *b, struct blk_job *job);
/* Submits the queued jobs to the kernel. */
void ring_submit(struct minivmm_device *dev);
/*
 * Returns the list of completed jobs. Passes jobs that the kernel did not complete to the workers.
 */
struct blk_job *ring_take(struct blk *b);
/* As ring_take(), after the watch has reported completions. */
struct blk_job *ring_ready(struct blk *b);
/* Returns all jobs, after waiting for the kernel to complete them. */
struct blk_job *ring_recall(struct blk *b);

#define BLK_POST_DONE 1u          /* row of the posts */
#define BLK_QUEUES 4              /* the number of rows of VIRTIO_WATCHES */
#define BLK_WATCH_RING BLK_QUEUES /* row of the watches, after those */
#define BLK_TIMER_RATE 0u         /* row of the timers */

#endif
