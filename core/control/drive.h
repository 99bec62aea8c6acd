/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands of the control socket: a machine driven while it runs. */
#ifndef CONTROL_DRIVE_H
#define CONTROL_DRIVE_H

#include "control/control.h"
#include "snapshot/reset.h"

struct drive {
	struct control control;
	struct machine *machine;
	struct devices *devices;
	struct capture *capture;
	enum config_method method;     /* of live snapshots */
	const struct snapshot *origin; /* that the machine was restored from; NULL: it was not */
	/* What of this run uses the file at path, which is not to be replaced; NULL: nothing
	 * does. */
	const char *(*taken)(void *context, const char *path);
	void *context;
	struct reset reset;                /* made when it is first asked for */
	struct control_request *until;     /* waits for the point; NULL: nobody does */
	char *point;                       /* that it waits for */
	struct control_request *capturing; /* waits for the snapshot */
	uint64_t looked;                   /* clock_host of the last look at dirty pages */
};

/* The commands, ended by one without name. */
const struct control_command *drive_commands(void);
/* Opens the socket at path. The other members are the caller's to fill before. 0 or a negative
 * status; close in any case. */
int drive_open(struct drive *drive, const char *path);
/* The machine has ended; who waits is told so. */
void drive_close(struct drive *drive);
/* The machine's point was reached; true: somebody on the socket waited for it, and holds the
 * machine now. */
bool drive_point(struct drive *drive);

#endif
