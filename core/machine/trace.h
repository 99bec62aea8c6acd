/* SPDX-License-Identifier: BSD-2-Clause */
/* --trace: every port and MMIO access as one JSON line, registers by name. */
#ifndef MACHINE_TRACE_H
#define MACHINE_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "machine/bus.h"

struct trace {
	FILE *file;
	char *path;
	uint64_t number; /* of the next access */
	bool failed;     /* said once */
};

/* Returns 0 or a negative status. close says what could not be written. */
int trace_open(struct trace *trace, const char *path);
int trace_close(struct trace *trace);

struct trace_access {
	uint64_t time; /* VM's clock, ns */
	uint32_t vcpu, space;
	uint64_t rip; /* a read's own instruction, the one after a write: the same on every host */
	uint64_t address, value;
	uint32_t width;
	bool write;
	const struct bus_range *range; /* NULL: nobody answered */
};
void trace_access(struct trace *trace, const struct trace_access *access);

#endif
