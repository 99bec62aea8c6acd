/* SPDX-License-Identifier: BSD-2-Clause */
/* The trace (--trace): one JSON line for each port or MMIO access, with register names. */
#ifndef MACHINE_TRACE_H
#define MACHINE_TRACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/made_file.h"
#include "base/symbols.h"
#include "machine/bus.h"
#include "machine/clock.h"

struct trace {
	int fd; /* each line is one write(2), without a buffer */
	char *path;
	bool waits;           /* a write may wait for a reader: the file is not a regular one */
	atomic_bool ended;    /* no longer than a second */
	pthread_mutex_t lock; /* guards the members below: lines of all vCPUs are in one order */
	FILE *line;           /* a memory stream with the line that is being written */
	char *text;           /* its bytes, and their number */
	size_t length;
	uint64_t number;               /* of the last access, from 1 */
	const struct symbols *symbols; /* name rip; set by the caller. NULL: none */
	int error;                     /* errno of the first line that could not be written, or 0 */
};

/* Creates or truncates the file; made: see file_open_report. 0 or a negative status; call
 * trace_close in any case. */
int trace_open(struct trace *trace, const char *path, struct made_files *made);
/* Closes the file and frees path. 0, or a negative status if a line could not be written. */
int trace_close(struct trace *trace);

/* The operator ends the machine: from now on, a line that nobody reads for a second is lost. Any
 * thread. */
void trace_end(struct trace *trace);

struct trace_access {
	const struct vm_clock *clock; /* the line has its time */
	uint32_t vcpu, space;         /* index; enum minivmm_space */
	uint64_t rip; /* of a read: that instruction; of a write: the next one. On every host */
	uint64_t address, value;
	uint32_t width; /* bytes */
	bool write;
	const struct bus_range *range; /* NULL: unclaimed */
};
/* Writes one line; waits for the reader of a pipe until trace_end. Any thread. */
void trace_access(struct trace *trace, const struct trace_access *access);

#endif
