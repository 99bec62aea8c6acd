/* SPDX-License-Identifier: BSD-2-Clause */
/* The client of the control socket. Functions that return a status report errors. */
#ifndef CLI_CTL_H
#define CLI_CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/json_read.h"

/* A connection; fd -1: not connected. Free it with ctl_close. */
struct ctl {
	const char *path;
	uid_t user; /* of a machine to trust, too; -1: none */
	int fd;
	bool by_name; /* the user gave the name of the machine, not a path */
	bool quiet;   /* a connection that fails or breaks is not reported: something else tells */
	bool no_wait; /* of ctl_begin */
	char *received;
	size_t length, capacity;
};

/* Sets the path to that of a machine that the user has given, by its socket or by its name. *named:
 * to be freed after the use of ctl. 0 or a negative status. */
int ctl_find(struct ctl *ctl, const char *given, char **named);
/*
 * Connects to the path of target, which may be ctl. Refuses a server that runs neither as this
 * user, as root, as the owner of the socket's directory, nor as target's user: it may have taken
 * the place of the machine, and would get the descriptors and the commands that are sent.
 */
int ctl_connect(struct ctl *ctl, const struct ctl *target);
/*
 * The same without waiting, and nor does ctl_send; see quiet. 0; 1: the machine has not accepted
 * many connections, and gets no further one; or a negative status.
 */
int ctl_begin(struct ctl *ctl, const char *path, bool quiet);
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
 * Sends a command that writes a snapshot or a core, and waits for its reply. Shows the progress at
 * a terminal. Ctrl-C cancels it. what: is written, for messages; a string constant.
 */
int ctl_snapshot(struct ctl *ctl, const char *what, const char *command, int fd, char **line);
/*
 * Sends a connect command, and joins stdin and stdout with the device. Returns the exit status,
 * when both directions have ended: 0, or 1 if the machine or the guest refuses.
 */
int ctl_join(struct ctl *ctl, const char *line);
/*
 * Prints exits and accesses per second: once, or with watch until Ctrl-C. Returns the exit status.
 */
int ctl_stats(struct ctl *ctl, bool watch);
/* Shows the machine's rates as a screen until Ctrl-C. Returns the exit status. */
int ctl_top(struct ctl *ctl);

#endif
