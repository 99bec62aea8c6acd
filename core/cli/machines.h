/* SPDX-License-Identifier: BSD-2-Clause */
/* The machines that minivmm list and tree show. Main thread. */
#ifndef CLI_MACHINES_H
#define CLI_MACHINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/ctl.h"

/* A machine that has a socket. */
struct machine_row {
	char *path;               /* of its socket; malloced */
	char *state;              /* malloced; NULL: no answer */
	uint64_t process, parent; /* process 0: not known; parent 0: it is no branch */
	uint64_t uptime;          /* ns of the VM's clock */
	uint64_t shared, private; /* bytes of memory, the guest's included */
	bool shown;               /* in the tree */
	bool absent;              /* nobody listens there */
	struct ctl ctl;           /* until its reply */
};

struct machine_rows {
	struct machine_row *list; /* malloced */
	size_t count;
};

/*
 * Asks the machines of the sockets; no path: all machines of this user with a name. All are asked
 * at the same time, and have a second. 0, or a negative status, reported: some are missing. Call
 * machines_free in any case.
 */
int machines_collect(struct machine_rows *rows, char *const *paths);
void machines_free(struct machine_rows *rows);
/* The name of its socket, and what to print as its state. */
const char *machines_name(const struct machine_row *row);
const char *machines_state(const struct machine_row *row);

#endif
