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
	uint64_t heard;                  /* control->heard when it was heard last */
	char *out;                       /* a reply on its way; NULL: none */
	size_t out_length, out_sent;
	bool closing; /* when out has gone */
	int passed;   /* a descriptor for the next request; -1: none */
	size_t length;
	char line[CONTROL_LINE + 1]; /* received, and not yet a request */
};

/* Takes over a connected descriptor. Closed when that fails. */
void client_open(struct control *control, int fd);
/* Hangs up, frees it; its request stays, without a client. */
void client_close(struct control_client *client);
/* Sends what can be sent at once, and then an error (NULL: none) if nothing stays behind; hangs
 * up. */
void client_dismiss(struct control_client *client, const char *why);
/* Takes a reply, allocated (NULL: there was no memory for it), which ends the request if there is
 * one. */
void client_answer(struct control_client *client, char *reply, size_t length);

/* Waits for what is to come next. */
void client_update(struct control_client *client);

/* Starts a request; it may end within. line is length bytes, without a newline or a NUL. */
void request_run(struct control_client *client, const char *line, size_t length);
/* An error as a line of the protocol, allocated; NULL: no memory. */
char *request_error_line(const char *text, size_t *length);
/* The client is gone. */
void request_orphan(struct control_request *request);

#endif
