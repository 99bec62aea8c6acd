/* SPDX-License-Identifier: BSD-2-Clause */
/* A client of the control socket. Private to core/control. */
#ifndef CONTROL_CLIENT_H
#define CONTROL_CLIENT_H

#include "control/control.h"

struct control_request;

struct control_client {
	struct control *control;
	struct control_client *next;
	struct loop_source source;
	struct control_request *request; /* under way; NULL: none */
	uint64_t heard;                  /* control->heard at its last message */
	char *out;                       /* a reply to send; NULL: none */
	size_t out_length, out_sent;
	bool closing; /* close when out is sent */
	int passed;   /* a descriptor for the next request; -1: none */
	size_t length;
	char line[CONTROL_LINE + 1]; /* received, not run yet */
};

/* Takes over a connected descriptor, and closes it on failure. */
void client_open(struct control *control, int fd);
/* Closes the connection and frees the client; its request stays, without a client. */
void client_close(struct control_client *client);
/* Sends the reply without waiting, then an error (NULL: none) if all of it is sent; closes. */
void client_dismiss(struct control_client *client, const char *why);
/* Takes over an allocated reply (NULL: no memory) and ends the request, if there is one. */
void client_answer(struct control_client *client, char *reply, size_t length);

/* Sets the events that the client waits for. */
void client_update(struct control_client *client);

/* Runs a request, which may end before this returns. line is length bytes, without a newline or a
 * NUL. */
void request_run(struct control_client *client, const char *line, size_t length);
/* An error as a line of the protocol, allocated; NULL: no memory. */
char *request_error_line(const char *text, size_t *length);
/* The client is gone. */
void request_orphan(struct control_request *request);

#endif
