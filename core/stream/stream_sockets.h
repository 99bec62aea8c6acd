/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams over unix and TCP sockets that connect or listen. These functions are members of struct
 * stream_kind, which documents them. */
#ifndef STREAM_STREAM_SOCKETS_H
#define STREAM_STREAM_SOCKETS_H

#include "stream/stream_kinds.h"

int stream_unix_check(const char *target, struct why *why);
int stream_tcp_check(const char *target, struct why *why);
int stream_unix_connect(struct stream_end *end, bool restored);
int stream_unix_listen(struct stream_end *end, bool restored);
int stream_tcp_connect(struct stream_end *end, bool restored);
int stream_tcp_listen(struct stream_end *end, bool restored);
void stream_socket_accept(struct stream_end *end);
void stream_socket_finish(struct stream_end *end, const volatile bool *interrupted);

/* Logs "serial0: output = unix:x: cannot OPERATION: " and the text of errno. Returns a negative
 * status. */
int stream_end_fail(const struct stream_end *end, const char *operation);
/* The same with the reason in why. */
int stream_end_refuse(const struct stream_end *end, const char *operation, const struct why *why);

#endif
