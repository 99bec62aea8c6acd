/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A disk behind a front end, which is a device like virtio-blk or nvme. The front end parses the
 * commands of its queues into jobs, and reports completed jobs to its driver. Everything else is
 * here: options, layers, execution, rate limits, pauses, snapshots and resets of the disk.
 *
 *   front end                block                                      disk.h
 *   take(), block_begin() -> job -> vCPU, workers.c (threads)        -> disk_read(), ...
 *                                   or ring.c (io_uring)             -> disk_call_read(), ...
 *   complete()            <- block_done(), block_ring_done()         <-
 *
 * The notifying vCPU executes jobs one at a time, or threads or io_uring execute them in parallel.
 * With io = auto, the vCPU executes them, but threads the reads for which it would wait.
 * The I/O thread executes none, and a vCPU none for which a pause waits: threads do that in any
 * case. No job is in flight while the machine is paused. A pause waits for the current step of
 * each, and holds the rest: the state has what the front end needs to parse the command again, and
 * how much of it is done.
 *
 * A front end embeds struct block in its state as a member named block, defines block_of(), and
 * has the rows BLOCK_... in its tables. Functions run under the device's lock, unless stated
 * otherwise.
 */
#ifndef PLUGINS_COMMON_DISK_BLOCK_H
#define PLUGINS_COMMON_DISK_BLOCK_H

#include "../rate.h"
#include "disk.h"
#include "workers.h"

#define BLOCK_SECTOR 512u
#define BLOCK_RANGES 256u              /* maximum per job */
#define BLOCK_FLIGHT 64u               /* maximum number of jobs in flight */
#define BLOCK_FLIGHT_BYTES (16u << 20) /* no further job begins while this many are in flight */

enum block_type { BLOCK_FLUSH, BLOCK_READ, BLOCK_WRITE, BLOCK_ZERO, BLOCK_DISCARD };
/* Values of option io. BLOCK_AUTO: BLOCK_SYNC, except for reads that would wait. */
enum block_io { BLOCK_AUTO, BLOCK_SYNC, BLOCK_THREADS, BLOCK_IO_URING };

/* A range to clear, in bytes. */
struct block_range {
	uint64_t at, length;
	bool unmap; /* BLOCK_ZERO: the range may be deallocated */
};

/* The front end's job begins with this struct. It sets the first group; block_job() clears it. */
struct block_job {
	uint32_t type;       /* enum block_type */
	bool flush;          /* a change must be on stable storage when the job completes */
	uint64_t at, length; /* of BLOCK_READ and BLOCK_WRITE: range of the disk, in bytes */
	uint32_t piece_count, range_count;
	struct iovec pieces[DISK_PIECES]; /* set by block_map() */
	uint64_t gpas[DISK_PIECES];
	struct block_range ranges[BLOCK_RANGES]; /* of BLOCK_ZERO and BLOCK_DISCARD */

	bool executed;         /* error is its result */
	int error;             /* errno of a failure; 0: none */
	uint64_t done;         /* of block_bytes(): a pause gets in between two steps */
	bool more;             /* a worker has returned it before its last step */
	bool waits;            /* BLOCK_AUTO: it would wait for the disk */
	struct disk_call call; /* of ring.c */
	struct block_job *next;
};

/* Constant, owned by the front end. */
struct block_front {
	size_t job_size;
	uint32_t done_post, ring_watch, rate_timer; /* rows of its tables */
	/* Takes commands from all queues that have some, as long as block_admits(). 0 or -1. */
	int (*take)(struct minivmm_device *dev);
	/* Reports the job, which then is free. Its memory is unmapped already. */
	void (*complete)(struct minivmm_device *dev, struct block_job *job);
	/* Keeps the command of the job at this index of its state, below BLOCK_FLIGHT. */
	void (*hold)(struct minivmm_device *dev, const struct block_job *job, uint32_t index);
	/* Parses that command again. Returns 1: it is to be executed; 0: complete() follows; -1:
	 * it no longer exists. */
	int (*again)(struct minivmm_device *dev, struct block_job *job, uint32_t index);
};

struct ring;

struct block {
	const struct block_front *front;
	struct minivmm_device *dev;
	const char *path, *layers, *overlay, *rate, *burst; /* options */
	bool readonly, temporary;
	uint32_t io;         /* option: enum block_io */
	uint32_t format;     /* option: enum with one value */
	uint32_t changed;    /* option: enum, whether a modified disk is refused */
	uint64_t bytes;      /* state: size of the disk */
	uint64_t changed_at; /* state: disk_changed() at the last snapshot */
	struct rate limit;   /* state */
	struct disk disk;
	struct workers workers;
	struct ring *ring;       /* NULL: io_uring is not used */
	struct block_job *spare; /* free list */
	uint32_t flight;         /* jobs that the workers or the kernel have */
	uint64_t flight_bytes;   /* their block_bytes() */
	bool pausing;            /* begin no jobs: the machine is paused or pausing */
	uint32_t held_count;     /* state: jobs that a pause has interrupted */
	uint64_t held_done[BLOCK_FLIGHT];
};

/* Defined by the front end: returns the member of its state. */
struct block *block_of(struct minivmm_device *dev);

/* Callbacks of the plugin, or called by them. configure: at the beginning. start: then the front
 * end binds its notifications if block_binds(), and calls block_resume(). */
int block_configure(struct minivmm_device *dev, const struct block_front *front);
int block_start(struct minivmm_device *dev, const struct minivmm_start *start);
int block_pause(struct minivmm_device *dev);
int block_resume(struct minivmm_device *dev);
int block_capture(struct minivmm_device *dev);
int block_stop(struct minivmm_device *dev);
void block_destroy(struct minivmm_device *dev);
/* Whether notifications should be ioeventfds: commands are not executed by the vCPU. */
static inline bool
block_binds(const struct block *b)
{
	return b->io >= BLOCK_THREADS;
}

/* Returns whether another job may begin. If the rate limit forbids it, sets the timer. */
bool block_admits(struct block *b);
/* Returns a job of the front end's size; NULL after minivmm_error(). block_begin() or
 * block_spare() follows. */
struct block_job *block_job(struct block *b);
void block_spare(struct block *b, struct block_job *job);
/* Whether these bytes are whole sectors of the disk. */
bool block_contains(const struct block *b, uint64_t at, uint64_t length);
/* Adds guest memory to the pieces. Returns 0; or -1, with all pieces unmapped: it is no memory, or
 * the job has DISK_PIECES. */
int block_map(struct block *b, struct block_job *job, uint64_t gpa, uint64_t length);
/* Returns the bytes that the job reads, writes or clears. */
uint64_t block_bytes(const struct block_job *job);
/* Executes the job, or has it executed. execute false: it is complete. */
void block_begin(struct block *b, struct block_job *job, bool execute);
/* Call it after a series of block_begin(). Returns whether jobs have completed meanwhile, so that
 * others can begin. */
bool block_submit(struct block *b);
/* Drops all jobs: no command of the driver takes effect after a reset. Blocks while a worker is in
 * a system call. */
void block_reset(struct minivmm_device *dev);

/* Rows of the tables. The workers or the kernel have completed jobs, or the rate limit admits the
 * next: a post, a watch and a timer, on the I/O thread. */
int block_done(struct minivmm_device *dev, uint32_t post);
int block_ring_done(struct minivmm_device *dev, uint32_t watch, uint32_t events);
int block_rate(struct minivmm_device *dev, uint32_t timer, uint64_t periods);

#define BLOCK_POST                                                                                 \
	{                                                                                          \
		.name = "done", .run = block_done, .help = "completes requests"                    \
	}
#define BLOCK_WATCH                                                                                \
	{                                                                                          \
		.name = "done", .ready = block_ring_done, .help = "completes requests"             \
	}
#define BLOCK_TIMER                                                                                \
	{                                                                                          \
		.name = "rate", .fire = block_rate,                                                \
		.help = "continues when the rate limit allows it"                                  \
	}

#define BLOCK_OFFSET(structure, member)                                                            \
	(uint32_t)(offsetof(structure, block) + offsetof(struct block, member))
#define BLOCK_OPTION(structure, type_, member, initial_, help_, ...)                               \
	{                                                                                          \
		.name = #member, .type = MINIVMM_##type_,                                          \
		.offset = BLOCK_OFFSET(structure, member), .initial = (initial_), .help = (help_), \
		__VA_ARGS__                                                                        \
	}
extern const char *const block_ios[], *const block_formats[], *const block_changes[];
#define BLOCK_OPTIONS(structure)                                                                   \
	BLOCK_OPTION(structure, PATH, path, NULL,                                                  \
		     "the disk: a file, a block device, or an NBD export (nbd://HOST/NAME or "     \
		     "nbd+unix:///NAME?socket=PATH)",                                              \
		     .flags = MINIVMM_HOST | MINIVMM_RAW),                                         \
	    BLOCK_OPTION(structure, ENUM, format, "raw",                                           \
			 "raw: the bytes are the disk, even if they look like another format",     \
			 .values = block_formats),                                                 \
	    BLOCK_OPTION(structure, BOOL, readonly, "no",                                          \
			 "whether the guest can only read the disk", ),                            \
	    BLOCK_OPTION(                                                                          \
		structure, BOOL, temporary, "no",                                                  \
		"whether writes are dropped at the end of the run, unless a snapshot contains "    \
		"them",                                                                            \
		.flags = MINIVMM_HOST),                                                            \
	    BLOCK_OPTION(structure, PATH, overlay, "",                                             \
			 "file for writes, in place of the disk: created if it does not exist",    \
			 .flags = MINIVMM_HOST),                                                   \
	    BLOCK_OPTION(structure, STRING, layers, "",                                            \
			 "frozen overlays on the disk, oldest first, separated by ':'",            \
			 .flags = MINIVMM_HOST),                                                   \
	    BLOCK_OPTION(                                                                          \
		structure, ENUM, changed, "refuse",                                                \
		"whether a restore is refused if the disk was modified after the snapshot",        \
		.flags = MINIVMM_HOST, .values = block_changes),                                   \
	    BLOCK_OPTION(                                                                          \
		structure, ENUM, io, "auto",                                                       \
		"what executes requests: the vCPU, except reads that would wait (auto) or "        \
		"all (sync); threads; or io_uring",                                                \
		.values = block_ios, .flags = MINIVMM_HOST)
/* After the front end's own options. */
#define BLOCK_RATE_OPTIONS(structure)                                                              \
	BLOCK_OPTION(structure, STRING, rate, "", RATE_HELP, ),                                    \
	    BLOCK_OPTION(structure, STRING, burst, "", RATE_BURST_HELP, )

#define BLOCK_FIELDS(structure)                                                                    \
	{ .name = "bytes",                                                                         \
	  .type = MINIVMM_U64,                                                                     \
	  .offset = BLOCK_OFFSET(structure, bytes),                                                \
	  .help = "size of the disk" },                                                            \
	    { .name = "changed_at",                                                                \
	      .type = MINIVMM_U64,                                                                 \
	      .offset = BLOCK_OFFSET(structure, changed_at),                                       \
	      .flags = MINIVMM_FREE_RUNNING,                                                       \
	      .help = "modification time of the file, in ns" },                                    \
	{                                                                                          \
		.name = "limit", .type = MINIVMM_U64,                                              \
		.offset = BLOCK_OFFSET(structure, limit) + (uint32_t)offsetof(struct rate, paid),  \
		.count = RATE_LIMITS, .help = RATE_FIELD_HELP                                      \
	}
/* What the front end's hold() keeps: an array member with one or more elements for each held job.
 * Then BLOCK_HELD_DONE. since_: the state version that has them first. */
#define BLOCK_HELD(structure, name_, type_, offset_, since_, ...)                                  \
	{                                                                                          \
		.name = (name_), .type = (type_), .offset = (offset_), .count = BLOCK_FLIGHT,      \
		.counter_offset = BLOCK_OFFSET(structure, held_count),                             \
		.counter_type = MINIVMM_U32, .since = (since_), .flags = MINIVMM_FREE_RUNNING,     \
		__VA_ARGS__                                                                        \
	}
#define BLOCK_HELD_MEMBER(structure, member, since_, ...)                                          \
	BLOCK_HELD(structure, #member, MINIVMM_FIELD_TYPE(structure, member),                      \
		   (uint32_t)offsetof(structure, member), since_, __VA_ARGS__)
#define BLOCK_HELD_DONE(structure, since_)                                                         \
	BLOCK_HELD(structure, "held_done", MINIVMM_U64, BLOCK_OFFSET(structure, held_done),        \
		   since_, .help = "the same: bytes that are done")

#endif
