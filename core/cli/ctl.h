/* SPDX-License-Identifier: BSD-2-Clause */
/* The client of the control socket. Functions that return a status report errors. */
#ifndef CLI_CTL_H
#define CLI_CTL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json_read.h"

/* A connection; fd -1: not connected. Free it with ctl_close. */
struct ctl {
	const char *path;
	int fd;
	char *received;
	size_t length, capacity;
};

int ctl_connect(struct ctl *ctl, const char *path);
void ctl_close(struct ctl *ctl);
/* Sends a line, which includes the newline, with a descriptor (-1: none). */
int ctl_send(struct ctl *ctl, const char *line, int fd);
/* Waits for data and reads once. */
int ctl_read(struct ctl *ctl);
/* Returns the first received line without its newline, malloced; NULL: no complete line yet. */
char *ctl_line(struct ctl *ctl);
/* Waits for a line. */
int ctl_receive(struct ctl *ctl, char **line);

/*
 * Parses a reply in place. Returns 0; 1 if it is an error, which is printed; or a negative status.
 */
int ctl_reply(const struct ctl *ctl, const char *line, struct json *reply);

/*
 * Sends a snapshot command and waits for its reply. Shows the progress at a terminal. Ctrl-C
 * cancels the snapshot.
 */
int ctl_snapshot(struct ctl *ctl, const char *command, int fd, char **line);
/*
 * Prints exits and accesses per second: once, or with watch until Ctrl-C. Returns the exit status.
 */
int ctl_stats(struct ctl *ctl, bool watch);

#endif
