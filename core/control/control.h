/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: a unix stream socket on the machine's loop, which works while the machine is
 * paused, too. A client sends a line of words for each request and gets a line with one JSON object
 * for each, in order: {"ok":true,...} or {"ok":false,"error":"..."}.
 *
 * Words have blanks between them. A word in double quotes can hold blanks; in it \" and \\ stand
 * for " and \. Only root and the process's own user may connect.
 *
 * All functions: main thread. None of them waits.
 */
#ifndef CONTROL_CONTROL_H
#define CONTROL_CONTROL_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/socket.h"
#include "base/why.h"
#include "machine/listener.h"
#include "vm/command.h"

#define CONTROL_CLIENTS 64 /* at most; a further one replaces the one that is idle longest */
#define CONTROL_LINE 16384 /* bytes of a request, without its newline */
#define CONTROL_WORDS 512  /* of a request */

struct control_client;

/* control_open fills the members. The address is fixed while it is open. */
struct control {
	struct loop *loop;
	const struct command_row *commands;
	void *context;
	char *path;              /* NULL: not open */
	struct socket_file file; /* none of a socket that was passed */
	uid_t uid;               /* the process's user */
	struct loop_source listener;
	struct listener_spare spare; /* for a client, when all other descriptors are in use */
	struct control_client *clients;
	unsigned count;
	uint64_t heard; /* counts messages, to find the idle client */
};

/*
 * Creates the socket file at path, mode 0600, and listens. Replaces the stale file of a process
 * that has died. commands must live as long. 0 or a negative status.
 */
int control_open(struct control *control, struct loop *loop, const char *path,
		 const struct command_row *commands, void *context);
/* The same with a socket that listens already, whose file belongs to another process. Takes over
 * fd, also after an error. */
int control_open_passed(struct control *control, struct loop *loop, int fd,
			const struct command_row *commands, void *context);
/*
 * Sends what is left without waiting, closes, and removes the socket file if it is still this one.
 * Does nothing if not open. Clients with a request under way get an error; the request stays valid
 * until it ends, which frees it.
 */
void control_close(struct control *control);

/* May a client of user peer control a process of user own? */
bool control_admits(uid_t own, uid_t peer);

/*
 * Cuts a line into words, in place. words has room for CONTROL_WORDS and a NULL behind them.
 * Returns 0, or -1 with the reason in why.
 */
int control_words(char *line, char **words, int *count, struct why *why);
/* Writes a word, without a newline in it, so that control_words reads it. */
void control_put_word(FILE *out, const char *word);

#endif
