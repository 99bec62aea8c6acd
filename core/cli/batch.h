/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by the parts of minivmm batch: the job, and the worker process. */
#ifndef CLI_BATCH_H
#define CLI_BATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/log.h"
#include "vm/vm.h"

#define BATCH_WORKERS 256u

/* In memory that the parent and the workers share. The mutexes are robust: a worker may die. */
struct batch_shared {
	pthread_mutex_t claims;           /* guards next and at */
	uint64_t next;                    /* index of the next input */
	uint64_t at[BATCH_WORKERS];       /* of each worker: index of its input plus 1; 0: none */
	atomic_bool ready[BATCH_WORKERS]; /* the worker has built its machine */
	atomic_bool gone[BATCH_WORKERS];  /* it ends by itself: its status is not that of a crash */
	atomic_uint_least64_t done, failed; /* inputs; failed: with an exit status other than 0 */
	atomic_bool stop;                   /* SIGTERM has come: no worker takes another input */
	struct log_lines said;              /* by the workers, while their machines start */
	atomic_bool warned;                 /* that the stop condition is in the past */
	atomic_int error;                   /* the first nonfatal error: a negative status */
	pthread_mutex_t out; /* held while writing a line; guards begun and line_at */
	bool begun;          /* a part of a line is written */
	off_t line_at;       /* its offset in the file of --resume */
};

struct batch {
	struct vm_source source;
	struct snapshot received; /* of --from; source names it */
	const char *from;   /* the control socket or name of a machine that runs; NULL: none */
	const char *device; /* the input goes to its stream */
	const char *until;  /* a stop condition; NULL: none */
	bool until_time;    /* it is a time on the VM's clock */
	const char *list;   /* a file with the names of inputs; NULL: none */
	bool null;          /* NULs end those names */
	bool check;         /* compare everything with the snapshot after each reset */
	uint64_t shard;     /* from 1 to shards: run this part of the inputs only */
	uint64_t shards;    /* 0: all */
	const char *resume; /* the file with earlier results, for the new ones; NULL: stdout */
	int out;            /* its descriptor, or that of stdout */
	char host[65];      /* the name of this host, for lines; "": they do not name it */
	char **files;       /* the names of the inputs, malloced */
	size_t file_count, file_room;
	size_t before; /* inputs of which --resume has found a result; not in files */
	unsigned workers;
	struct batch_shared *shared;
};

/* Add an input: a file, or the files of a directory; or the names in a list, one a line, or each
 * ended by a NUL; "-": of stdin. 0 or a negative status, reported. */
int batch_input(struct batch *batch, const char *path);
int batch_list(struct batch *batch, const char *path, bool null);
/* Receives the state of a running machine, for the workers. 0 or a negative status, reported; call
 * snapshot_close(&batch->received) in any case. */
int batch_from(struct batch *batch, const char *from);
void batch_inputs_free(struct batch *batch);
/* Parses the I/N of --shard. 0 or a negative status, reported. */
int batch_shard(struct batch *batch, const char *text);
/* Keeps each shards-th input, from that of number shard on. Call it when all inputs are added. */
void batch_inputs_share(struct batch *batch);

/*
 * Opens the file of --resume as batch->out, and removes the inputs from the list that have a result
 * there. Changes only a file all of whose lines are results: removes a last line that is
 * incomplete. 0 or a negative status, reported.
 */
int batch_resume(struct batch *batch);
/* Syncs and closes the file. 0 or a negative status. */
int batch_resume_end(struct batch *batch);
/* The first bytes of each line. */
#define BATCH_LINE "{\"file\":\""

/*
 * Runs a worker: builds the machine and runs inputs until none are left. Returns the exit status of
 * the worker process.
 */
int batch_work(const struct batch *batch, unsigned number);
/*
 * Takes the next input for a worker, whose last one is done. Returns its index, or file_count if
 * none is left.
 */
uint64_t batch_claim(const struct batch *batch, unsigned number);
/* Records an error that sets the exit status although the batch continues. */
void batch_error(const struct batch *batch, int status);

/* An unfinished line of output. */
struct batch_line {
	FILE *out; /* for more members; write a comma before each */
	char *text;
	size_t length;
	bool failed;
};
/* Begins a line. 0 or a negative status. */
int batch_line_begin(struct batch_line *line, const char *file, const char *cause, int exit);
/* Adds host and shard, and writes the whole line under the lock. 0 or a negative status. */
int batch_line_end(const struct batch *batch, struct batch_line *line);
/* Locks a mutex of batch_shared, whose owner may have died. Returns whether it has. */
bool batch_lock(pthread_mutex_t *mutex);

#endif
