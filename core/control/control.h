/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: a unix stream socket on the machine's loop, alive also while the machine is
 * paused. A client sends a line of words for each request and gets a line with one JSON object for
 * each, in order: {"ok":true,...} or {"ok":false,"error":"..."}.
 *
 * Words have blanks between them. A word in double quotes can hold blanks; in it \" and \\ stand
 * for " and \. Only root and the user that runs us may connect.
 *
 * All of this is the loop's thread's. Nothing here waits.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/socket.h"
#include "base/why.h"
#include "machine/loop.h"
#include "vm/command.h"

#define CONTROL_CLIENTS 64 /* at most; the next one takes the place of the most silent */
#define CONTROL_LINE 4096  /* bytes of a request, without its newline */
#define CONTROL_WORDS 64   /* of a request */

struct control_client;

/* Its members are control_open's to fill; address fixed while it is open. */
struct control {
	struct loop *loop;
	const struct command_row *commands;
	void *context;
	char *path; /* NULL: not open */
	struct socket_file file;
	uid_t uid;                       /* whose we are */
	struct loop_source listener;     /* without events while accept has no descriptors left */
	struct loop_source accept_again; /* a timerfd, ends that */
	struct control_client *clients;
	unsigned count;
	uint64_t heard; /* counts what was heard: who was silent longest */
};

/*
 * Makes the socket file at path, mode 0600, and listens. A file that a process which died has left
 * is replaced. 0, or a negative status, said. commands must live as long.
 */
int control_open(struct control *control, struct loop *loop, const char *path,
		 const struct command_row *commands, void *context);
/*
 * Sends what can be sent at once, hangs up, and removes the socket file if it is still ours. Does
 * nothing if not open. Requests under way are told so and stay valid until they are ended, which
 * frees them.
 */
void control_close(struct control *control);

/* Whether who has peer's uid may control what runs as own. */
bool control_admits(uid_t own, uid_t peer);

/*
 * Cuts a line into words, in place. words has room for CONTROL_WORDS and a NULL behind them.
 * Returns 0, or -1 with the reason in why.
 */
int control_words(char *line, char **words, int *count, struct why *why);
/* Writes a word as control_words reads it. It holds no newline. */
void control_put_word(FILE *out, const char *word);

#endif
