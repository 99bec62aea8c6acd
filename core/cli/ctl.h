/* SPDX-License-Identifier: BSD-2-Clause */
/* The client's side of the control socket. Functions that return a status say what went wrong. */
#ifndef CLI_CTL_H
#define CLI_CTL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json_read.h"

/* A connection; fd -1: none. Freed by ctl_close. */
struct ctl {
	const char *path;
	int fd;
	char *received;
	size_t length, capacity;
};

int ctl_connect(struct ctl *ctl, const char *path);
void ctl_close(struct ctl *ctl);
/* Sends a line, given with its newline, and with it a descriptor (-1: none). */
int ctl_send(struct ctl *ctl, const char *line, int fd);
/* Reads once, waiting for something to come. */
int ctl_read(struct ctl *ctl);
/* The first line that was read, without its newline, malloced; NULL: there is none yet. */
char *ctl_line(struct ctl *ctl);
/* Waits for a line. */
int ctl_receive(struct ctl *ctl, char **line);

/* Reads a reply where it lies. 0; 1: it is an error, which is said; or a negative status. */
int ctl_reply(const struct ctl *ctl, const char *line, struct json *reply);

/* Sends a snapshot command and waits for its reply, showing how far it is at a terminal. Ctrl-C
 * cancels it. */
int ctl_snapshot(struct ctl *ctl, const char *command, int fd, char **line);
/* Prints exits and accesses per second, once or, watching, until Ctrl-C. Exit status. */
int ctl_stats(struct ctl *ctl, bool watch);

#endif
