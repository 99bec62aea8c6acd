/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio disk's parts: blk.c is the device, request.c what the guest asks for, disk.h where its
 * bytes are, and workers.c the threads that move them, or ring.c the kernel's queue of system
 * calls.
 *
 * A request is a job in three steps: it is begun, which checks it and finds its memory; it is done,
 * by the vCPU's thread or a worker, or the kernel; and it is ended, which gives it back to the
 * driver. The first and the last are the device's own.
 */
#ifndef PLUGINS_VIRTIO_BLK_H
#define PLUGINS_VIRTIO_BLK_H

#include <pthread.h>

#include "../common/queue.h"
#include "../common/rate.h"
#include "disk.h"

#define SECTOR 512u
#define RANGE_SECTORS (1u << 17) /* of a discard, 64 MiB */
#define RANGES 16u               /* in one */
#define WORKERS 4u
#define FLIGHT 64u /* jobs at once */

#define BLK_F_SEG_MAX (1ull << 2)
#define BLK_F_RO (1ull << 5)
#define BLK_F_BLK_SIZE (1ull << 6)
#define BLK_F_FLUSH (1ull << 9)
#define BLK_F_MQ (1ull << 12)
#define BLK_F_DISCARD (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

enum blk_type { IN = 0, OUT = 1, FLUSH = 4, GET_ID = 8, DISCARD = 11, WRITE_ZEROES = 13 };
enum blk_status { OK = 0, IOERR = 1, UNSUPP = 2 };

struct blk_range {
	uint64_t sector;
	uint32_t sectors, flags;
};

struct blk_job {
	struct blk_job *next;
	struct virtio_request request;
	uint32_t queue, type;
	uint64_t at, length; /* of the disk, in bytes */
	struct iovec pieces[DISK_PIECES];
	uint64_t gpas[DISK_PIECES];
	uint32_t piece_count;
	struct blk_range ranges[RANGES];
	uint32_t range_count;
	struct disk_call call; /* the kernel's, for ring.c */
	bool flush;            /* what is written is to be on the disk */
	uint8_t status;        /* enum blk_status: what the driver is told */
	int error;             /* errno of what failed; 0: nothing that is to be told here */
	uint32_t written;      /* bytes of the request, for the driver */
};

/* Jobs on their way to worker threads and back. */
struct workers {
	pthread_mutex_t lock;
	pthread_cond_t work, rest;
	struct blk_job *first, **last; /* that wait; last: where the next goes */
	struct blk_job *done;
	uint32_t busy; /* workers that are at one */
	uint32_t count;
	bool ending;
	pthread_t threads[WORKERS];
};

struct blk {
	struct virtio virtio;
	const char *path, *layers, *overlay, *serial, *rate, *burst; /* options */
	bool readonly, temporary;
	uint32_t io;         /* option */
	uint16_t queues;     /* option */
	uint32_t changed;    /* option: what is done when the file is not as the snapshot has it */
	uint64_t bytes;      /* state: the disk's size */
	uint64_t changed_at; /* state: when the file was last written, at the last snapshot */
	struct rate limit;   /* state */
	uint32_t origin;     /* layers that a restored machine began with */
	struct disk disk;
	struct workers workers;
	struct ring *ring;     /* NULL: none */
	struct blk_job *spare; /* jobs that are free */
	uint32_t flight;       /* jobs with the workers and the kernel */
	bool resting;          /* no job is begun: the machine is paused, or about to be */
};

/* request.c. begin: true when there is something to do; else the job's status says how it ended. */
bool job_begin(struct minivmm_device *dev, struct blk_job *job);
/* Bytes that it moves, for limits. */
uint64_t job_bytes(const struct blk_job *job);
/* How a range of it becomes zeros. */
enum disk_zero job_zero(const struct blk_job *job, uint32_t range);
/* What has become of it; error: an errno, or 0. */
void job_done(struct blk_job *job, int error);
/* On any thread. */
void job_do(struct blk *b, struct blk_job *job);
/* Gives it back to the driver, if that still wants it; -1 when the driver has lost its device. */
int job_end(struct minivmm_device *dev, struct blk_job *job);
/* Forgets it. */
void job_drop(struct minivmm_device *dev, struct blk_job *job);

/* workers.c. start: says what went wrong, -1. */
int workers_start(struct minivmm_device *dev, struct workers *workers);
void workers_end(struct workers *workers);
void workers_give(struct workers *workers, struct blk_job *job);
/* Those that are done. */
struct blk_job *workers_take(struct workers *workers);
/* All of them, once none is being done. */
struct blk_job *workers_recall(struct workers *workers);

/* ring.c. start: on the I/O thread; says what went wrong, -1. */
int ring_start(struct minivmm_device *dev);
void ring_end(struct blk *b);
/* false: it is not for the kernel. */
bool ring_give(struct blk *b, struct blk_job *job);
/* Hands over what has been given. */
void ring_submit(struct minivmm_device *dev);
/* Those that are done; what the kernel did not do as a whole is with the workers then. */
struct blk_job *ring_take(struct blk *b);
/* The same, when the watch tells of them. */
struct blk_job *ring_ready(struct blk *b);
/* All of them, once none is being done. */
struct blk_job *ring_recall(struct blk *b);

#define BLK_POST_DONE 1u          /* row of the posts */
#define BLK_QUEUES 4              /* as many as there are rows of VIRTIO_WATCHES */
#define BLK_WATCH_RING BLK_QUEUES /* of the watches, behind those */
#define BLK_TIMER_RATE 0u         /* and of the timers */

#endif
