/* SPDX-License-Identifier: BSD-2-Clause */
/* The trace (--trace): one JSON line for each port or MMIO access, with register names. */
#ifndef MACHINE_TRACE_H
#define MACHINE_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "machine/bus.h"

struct trace {
	FILE *file;
	char *path;
	uint64_t number; /* of the last access, from 1 */
	bool failed;     /* a write error has been logged; only the first is */
};

/* Creates or truncates the file. 0 or a negative status. */
int trace_open(struct trace *trace, const char *path);
/* Closes the file and frees path. 0, or a negative status if a line could not be written. */
int trace_close(struct trace *trace);

struct trace_access {
	uint64_t time;        /* VM's clock, ns */
	uint32_t vcpu, space; /* index; enum minivmm_space */
	uint64_t rip; /* of a read: that instruction; of a write: the next one. On every host */
	uint64_t address, value;
	uint32_t width; /* bytes */
	bool write;
	const struct bus_range *range; /* NULL: unclaimed */
};
/* Writes one line. On the vCPU's thread. */
void trace_access(struct trace *trace, const struct trace_access *access);

#endif
