/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking snapshots of a machine, most of it while the machine runs.
 *
 * Live, by pre-copy: a thread writes all pages while the guest runs on, then those that were
 * written meanwhile, and so on until few are left. Then the machine stops: devices, vCPUs and chips
 * are saved, the last pages put aside, and it goes on. The file is the machine at that instant. A
 * stop so costs the same for any size of memory, on every kernel and without privileges; and a
 * guest that writes pays a fault in the kernel for the first write to a page in each round, never a
 * wait for us. What this can't do is catch up with a guest that writes faster than we copy: then
 * the process forks while the machine is stopped, and the child writes what was left as it was at
 * that instant.
 *
 * A diff holds the pages that have been written, by the guest or by devices, since the snapshot
 * before it, or since the restore. What a failed snapshot has seen to be written is not forgotten.
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
	int status;      /* 0, or a negative one: */
	char text[1024]; /* what went wrong */
	enum config_method method;
	bool diff;
	uint8_t id[16];
	uint64_t stopped, duration; /* ns: the guest stood still; in all */
	uint64_t pages, bytes;      /* written, some of them more than once; of data */
	uint64_t late;              /* pages that the stop found changed */
	unsigned rounds;
};

/* Filled by the caller. */
struct capture_request {
	const char *path; /* of the file; or the name of what fd is */
	int fd;           /* -1, or a descriptor that takes a stream: ours from here on */
	bool diff;
	bool track; /* a diff may follow: changes are tracked from here on */
	enum config_method method;
	/* The snapshot is there, or is not. On the main thread. */
	void (*done)(void *context, const struct capture_result *result);
	void *context;
};

/* What lets the next snapshot be a diff. */
struct capture_base {
	bool known;   /* there is a snapshot to differ from */
	bool tracked; /* since has all changes up to the last look; else see restored */
	uint8_t id[16];
	uint32_t checksum;
	char *name;         /* of its file, without folder; NULL: it has none */
	uint8_t *ancestors; /* ids of 16 bytes: its own, and of all that it needs */
	size_t ancestor_count;
	uint64_t metadata; /* bytes that all of them have beside their memory */
};

/* One for a machine. */
struct capture {
	struct machine *machine;
	struct devices *devices;
	struct capture_base base;
	uint64_t *since; /* pages written since the base: the watch's */
	struct dirty_watch watch;

	/* The one under way. The main thread starts and ends it and does the stop, the writer the
	 * rest. */
	struct capture_request request;
	struct capture_result result;
	struct output output;
	struct image image;
	struct snapshot_meta meta;
	struct snapshot_header header;
	uint64_t *todo;              /* pages to write next */
	uint8_t *aside;              /* copies of those that the stop found, in order */
	size_t aside_pages;          /* room there */
	atomic_uint_least64_t total; /* pages to write, for progress */
	uint64_t began;              /* clock_host; likewise: */
	uint64_t stop, taken;        /* the machine was to stop; it could go on */
	struct loop_source event;
	pthread_t thread;
	pthread_cond_t changed;
	pthread_mutex_t lock; /* guards phase and child */
	enum { CAPTURE_COPYING, CAPTURE_WANTS_STOP, CAPTURE_STOPPED, CAPTURE_ENDED } phase;
	pid_t child; /* that writes; 0: none */
	int event_fd;
	atomic_int cancelled; /* enum output_cancel */
	bool busy;
	bool pauses; /* keeps the machine paused until all is written */
	bool kept;   /* the rounds have left todo for the stop */
};

/* 0 or a negative status; free in any case. */
int capture_init(struct capture *capture, struct machine *machine, struct devices *devices);
/* The machine was restored from this: a diff may name it as its parent. */
void capture_restored(struct capture *capture, const struct snapshot *snapshot);
void capture_free(struct capture *capture);

/* Begins one; 0, or a negative status (one is under way; no base; no such folder): said, and done
 * is not called. Main thread. */
int capture_start(struct capture *capture, const struct capture_request *request);
/* The whole of one, of a paused machine, without a thread. done is not called. */
int capture_now(struct capture *capture, const struct capture_request *request,
		struct capture_result *result);
int capture_file(struct capture *capture, const char *path); /* to a file, and no more */
/* Ends the one under way, soon, as failed. Idempotent. */
void capture_cancel(struct capture *capture);
/* The machine will not run again: cancels and waits; done is called. */
void capture_end(struct capture *capture);
/* Bytes of memory looked at and to look at in all; false: none is under way. */
bool capture_progress(const struct capture *capture, uint64_t *done, uint64_t *total);

/* How many pages have been written since the last look, by this or by a snapshot; -1: changes are
 * not tracked (no snapshot has been taken yet), or one is under way. Main thread. */
int64_t capture_look(struct capture *capture);

/* Resets the paused machine, and knows afterwards what a diff must hold. As reset_run. */
struct reset;
int capture_reset(struct capture *capture, struct reset *reset);

/* What the files of this module share. */

/* Room for what the stop copies, with pages behind it. Without memory for it the stop makes its
 * own. */
void capture_make_room(struct capture *capture);
/* The same of the heap, for the records of a machine's state: a thread's own, so on the main
 * thread. */
#define CAPTURE_HEAP 65536u /* bytes: more than those of a vCPU or two */
void capture_make_heap(void);
/* Saves the sections of a paused machine into meta. 0 or a negative status. */
int capture_state(struct capture *capture);
/* Memory: before the stop; in it, which also saves the state (main thread); after it, to the end of
 * the file. 0 or a negative status. */
int capture_copy(struct capture *capture);
int capture_take(struct capture *capture);
int capture_rest(struct capture *capture);
bool capture_can_fork(const struct capture *capture);  /* all memory is the process's own */
uint64_t capture_count(const struct capture *capture); /* pages to write next */
/* What has been written since the last look is to be written next, and is no longer as in the base.
 * more: so is what was to be written before. 0 or a negative status. */
int capture_dirty(struct capture *capture, bool more);
/* The first failure, with its text, is what the result says. Returns r. */
int capture_note(struct capture *capture, int r, const char *text);

#endif
