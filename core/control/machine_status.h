/* SPDX-License-Identifier: BSD-2-Clause */
/* How a machine is doing, as members of a JSON object. */
#ifndef CONTROL_MACHINE_STATUS_H
#define CONTROL_MACHINE_STATUS_H

#include <stdio.h>

struct drive;

/* ,"state":...,"uptime_ns":... and so on. Looks at the pages written since the last time. */
void control_status(FILE *out, struct drive *drive);
/* An array, an object for each device. */
void control_status_devices(FILE *out, const struct drive *drive);

#endif
