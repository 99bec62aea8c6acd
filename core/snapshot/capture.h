/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Takes snapshots of a machine, mostly while it runs.
 *
 * A live snapshot uses pre-copy. A thread writes all pages while the guest runs, then those that
 * were written meanwhile, and repeats this until few are left. Then the machine stops: devices,
 * vCPUs and chips are saved, the last pages are copied, and the machine resumes. The file is the
 * machine at that instant. The length of the stop does not depend on the size of the memory. This
 * works on every kernel and without privileges. The guest's first write to a page in each round
 * costs a fault in the kernel; the guest never waits for a copy. Pre-copy cannot catch up with a
 * guest that writes faster than the thread copies. Then the process forks during the stop, and the
 * child writes the remaining pages from its copy-on-write memory.
 *
 * A diff holds the pages that the guest or devices have written since the previous snapshot or the
 * restore. Pages that a failed snapshot would have saved are in the next diff.
 */
#ifndef SNAPSHOT_CAPTURE_H
#define SNAPSHOT_CAPTURE_H

#include <pthread.h>
#include <sys/types.h>

#include "device/device.h"
#include "machine/dirty.h"
#include "machine/machine.h"
#include "snapshot/image.h"
#include "snapshot/reader.h"

struct capture_result {
	int status;      /* 0 or a negative status */
	char text[1024]; /* the error, if status is negative */
	enum config_method method;
	bool diff;
	uint8_t id[16];
	uint64_t stopped, duration; /* ns: time that the guest was stopped; total time */
	uint64_t pages, bytes; /* written; a page counts each time; bytes: without zero pages */
	uint64_t stop_pages;   /* pages that were dirty in the stop */
	unsigned rounds;
};

/* Filled by the caller. */
struct capture_request {
	const char *path; /* of the file; with fd: a name for messages */
	int fd;           /* -1, or a descriptor for a stream, which the capture then owns */
	/* fd is an empty file instead, which stays the caller's and gets the snapshot. */
	bool open_file;
	bool diff;
	bool track; /* track changes from this snapshot on, so that a diff may follow */
	bool apart; /* it does not become the base of later diffs */
	enum config_method method;
	/* Called once, on the main thread, when the snapshot is complete or has failed. */
	void (*done)(void *context, const struct capture_result *result);
	/* Called now and then by the thread that writes memory; true cancels. NULL: none. */
	bool (*poll)(void *context);
	void *context;
};

/* The last snapshot, or the one that the machine was restored from: the parent of the next diff. */
struct capture_base {
	bool known;   /* a diff is possible */
	bool tracked; /* capture.since has all changes up to the last poll of the dirty log */
	uint8_t id[16];
	uint32_t checksum;
	char *name;         /* of its file, without folder; NULL: it was a stream */
	uint8_t *ancestors; /* ids of 16 bytes: of the base and of all its ancestors */
	size_t ancestor_count;
	uint64_t metadata; /* bytes of metadata of all of them */
};

/* One per machine. */
struct capture {
	struct machine *machine;
	struct devices *devices;
	struct capture_base base;
	size_t room;     /* bytes: what the sections of the stop take, about */
	uint64_t copied; /* pages that the stop of the last snapshot copied */
	uint64_t *since; /* bitmap: pages written since the base; watch.pages */
	struct dirty_watch watch;

	/* The snapshot in progress. The main thread starts and ends it and runs the stop; the
	 * writer thread does the rest. */
	struct capture_request request;
	struct capture_result result;
	struct output output;
	struct image image;
	struct snapshot_meta meta;
	struct snapshot_header header;
	uint64_t *todo;                  /* bitmap: pages to write next */
	uint8_t *copies;                 /* copies of the pages of todo, made in the stop */
	size_t copies_max;               /* size of copies in pages */
	atomic_uint_least64_t total;     /* pages to write, for progress */
	uint64_t started;                /* clock_host() */
	uint64_t stop_began, stop_ended; /* clock_host() before machine_pause, after the copies */
	struct loop_source event;
	pthread_t thread;
	pthread_cond_t changed;
	pthread_mutex_t lock; /* guards phase and child */
	enum { CAPTURE_COPYING, CAPTURE_WANTS_STOP, CAPTURE_STOPPED, CAPTURE_ENDED } phase;
	pid_t child; /* that writes the last pages; 0: none */
	int event_fd;
	atomic_int cancelled; /* enum output_cancel */
	bool busy;
	bool in_devices, ended_before; /* devices capture; the machine had ended before that */
	bool stays_paused;             /* METHOD_PAUSE: until all pages are written */
	bool todo_left; /* the rounds ended with todo unwritten, for a fork in the stop */
};

/* Returns 0 or a negative status. Call capture_free in any case. */
int capture_init(struct capture *capture, struct machine *machine, struct devices *devices);
/* The machine was restored from snapshot, which becomes the base of the next diff. */
void capture_restored(struct capture *capture, const struct snapshot *snapshot);
/*
 * The machine was restored from snapshot, a diff whose file its snapshots will replace: the parent
 * of the next diff is that of snapshot, and it holds the pages of snapshot, too. After
 * capture_restored.
 */
void capture_replaces(struct capture *capture, const struct snapshot *snapshot);
/*
 * The machine is a branch of that of parent, whose memory this process has: a diff of it has the
 * same base. Before it runs. The dirty log is on if it was there. 0 or a negative status.
 */
int capture_branched(struct capture *capture, const struct capture *parent);
void capture_free(struct capture *capture);

/*
 * Starts a snapshot. Returns 0 or a negative status, reported, for example if another one is in
 * progress, a diff has no base or the folder does not exist; then done is not called. Main thread.
 */
int capture_start(struct capture *capture, const struct capture_request *request);
/* Takes a whole snapshot of a paused machine on the calling thread. Does not call done. */
int capture_now(struct capture *capture, const struct capture_request *request,
		struct capture_result *result);
/* Whether a diff can be written to the file: it has a parent, which is not in this file, and the
 * chain can grow. */
bool capture_can_diff(const struct capture *capture, const char *path);
/* As capture_now, for a full snapshot in a file, without tracking. */
int capture_file(struct capture *capture, const char *path);
/* Makes the snapshot in progress fail soon. Idempotent. */
void capture_cancel(struct capture *capture);
/* Whether a snapshot is in progress that has been cancelled. Main thread. */
bool capture_is_cancelled(const struct capture *capture);
/* Whether the main thread waits, in a nested loop, until devices have captured their state. */
static inline bool
capture_in_devices(const struct capture *capture)
{
	return capture->in_devices;
}
/* The machine will not run again, or is reset: cancels the snapshot, waits for its end and calls
 * done. */
void capture_end(struct capture *capture);
/* Bytes of memory processed so far, and in total. False: no snapshot is in progress. */
bool capture_progress(const struct capture *capture, uint64_t *done, uint64_t *total);

/*
 * Polls the dirty log. Returns the number of pages written since the last poll, by this function or
 * by a snapshot; or -1 if changes are not tracked (no snapshot was taken yet) or a snapshot is in
 * progress. Main thread.
 */
int64_t capture_poll_dirty(struct capture *capture);

/* As reset_run; then also resets the set of pages that the next diff holds. */
struct reset;
int capture_reset(struct capture *capture, struct reset *reset);

/* Private to capture.c, capture_base.c and rounds.c. */

/* Makes the finished snapshot the base of the next diff. All later changes are still in the dirty
 * log. Main thread. */
void capture_base_set(struct capture *capture);
/* Forgets the base: no diff is possible. */
void capture_base_free(struct capture *capture);
/* Whether a diff needs this file: it is the base, or an ancestor of it. */
bool capture_base_needs(const struct capture *capture, const char *path);
/* Whether a restore would refuse a diff, because its chain would exceed a limit. The size of the
 * diff is not known yet. */
bool capture_base_is_full(const struct capture_base *base);
/* Estimates how much the sections of the stop take. Main thread, before the writer thread. */
void capture_estimate(struct capture *capture);
/* Allocates and touches the buffers for copies of pages and for the records of the state, so that
 * the stop does not wait for page faults. Without memory the stop allocates them. */
void capture_make_room(struct capture *capture);
#define CAPTURE_STATE 65536u /* bytes: more than the state of a vCPU */
/* Saves the sections of a paused machine into meta. Returns 0 or a negative status. */
int capture_state(struct capture *capture);
/*
 * The three parts of a snapshot: memory, before the stop; state and last pages, in the stop, on the
 * main thread; the rest of the file, after it. Each returns 0 or a negative status.
 */
int capture_before_stop(struct capture *capture);
int capture_in_stop(struct capture *capture);
int capture_after_stop(struct capture *capture);
/* The machine has ended while devices capture: cancels the snapshot. */
void capture_machine_ended(struct capture *capture);
bool capture_can_fork(const struct capture *capture);       /* all memory is private */
uint64_t capture_todo_count(const struct capture *capture); /* pages to write next */
/* Polls the dirty log into since and todo. add: todo keeps the pages it has. Returns 0 or a
 * negative status. */
int capture_poll(struct capture *capture, bool add);
/* Stores an error in the result, unless r is 0 or the result has one. Returns r. */
int capture_set_error(struct capture *capture, int r, const char *text);

#endif
