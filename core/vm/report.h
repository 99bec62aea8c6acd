/* SPDX-License-Identifier: BSD-2-Clause */
/* What is told of a machine that has stopped. */
#ifndef VM_REPORT_H
#define VM_REPORT_H

#include "device/device.h"
#include "machine/machine.h"

void report_registers(struct machine *machine); /* to stderr, whatever the log level */
void report_dirty(struct machine *machine);     /* pages that the guest wrote, to the log */
/*
 * One JSON line: cause (and the point, when that is it), exit status, the guest's own, counts,
 * time. 0 or a negative status.
 */
int report_status(const char *path, struct machine *machine, struct devices *devices,
		  const char *point, int status);

/* The exit status that stands for how a machine ended. */
int report_exit(const struct machine_end *end);

#endif
