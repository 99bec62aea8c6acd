/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of minivmm batch share: the job, and the process that works on it. */
#ifndef CLI_BATCH_H
#define CLI_BATCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "vm/vm.h"

#define BATCH_WORKERS 256u

/* In memory that parent and workers share. */
struct batch_shared {
	atomic_uint_least64_t next; /* the input to take next */
	atomic_uint_least64_t done;
	atomic_int trouble;  /* the first that did not end the batch: a negative status */
	pthread_mutex_t out; /* who writes a line; robust: a worker may die with it */
	/* By worker: the input that it works on, plus 1; 0: none. */
	atomic_uint_least64_t at[BATCH_WORKERS];
};

struct batch {
	struct vm_source source;
	const char *device; /* whose stream the input is for */
	const char *until;  /* a point; NULL: none */
	uint64_t timeout;   /* ns on the VM's clock; 0: none */
	bool check;         /* compare all with the snapshot after each reset */
	char **files;
	size_t file_count;
	struct batch_shared *shared;
};

/* A worker's life: builds the machine, runs inputs until there are none. Returns its exit
 * status. */
int batch_work(const struct batch *batch, unsigned number);
/* Notes what is to be the exit status, though the batch goes on. */
void batch_trouble(const struct batch *batch, int status);

/* A line of output in the making. */
struct batch_line {
	FILE *out; /* for further members, each with a comma before it */
	char *text;
	size_t length;
};
/* 0 or a negative status. */
int batch_line_begin(struct batch_line *line, const char *file, const char *cause, int exit);
/* Writes it to stdout, whole, whoever else writes; 0 or a negative status. */
int batch_line_end(const struct batch *batch, struct batch_line *line);

#endif
