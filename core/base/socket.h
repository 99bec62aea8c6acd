/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stream sockets of the host, unix and TCP: the one module that connects, listens and accepts.
 * Functions that return a descriptor return -1 with errno on failure. Descriptors do not block,
 * except those of socket_connect_unix. Any thread.
 */
#ifndef BASE_SOCKET_H
#define BASE_SOCKET_H

#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/why.h"

#define SOCKET_PATH_MAX 107 /* bytes of a unix socket's path; longer ones are ENAMETOOLONG */

/* Connects, and waits for the answer. */
int socket_connect_unix(const char *path);
/*
 * Begins to connect. *pending: the descriptor becomes writable when there is an answer, which
 * socket_error tells.
 */
int socket_begin_unix(const char *path, bool *pending);
int socket_begin(const struct addrinfo *address, bool *pending);
int socket_error(int fd); /* 0, or an errno */

/*
 * The addresses of "HOST:PORT" or "[HOST]:PORT", to be freed by freeaddrinfo. listen: to listen on.
 * Asks the host's resolver, and waits for it. socket_check_tcp only checks the form.
 */
int socket_resolve(const char *text, bool listen, struct addrinfo **addresses, struct why *why);
int socket_check_tcp(const char *text, struct why *why);

/* The file of a unix socket that listens; inode 0: none. */
struct socket_file {
	dev_t device;
	ino_t inode;
};
/* Creates the socket's file. mode 0: as the umask says; else nobody can connect before it is set.
 */
int socket_listen_unix(const char *path, mode_t mode, int backlog, struct socket_file *file);
int socket_listen(const struct addrinfo *address, int backlog);
/*
 * Removes the socket of a process that has died: nobody listens there. 0: the path is free; -1:
 * something is there, and stays.
 */
int socket_remove_stale(const char *path, struct why *why);
/* Removes a socket's file, unless another process has replaced it since. */
void socket_file_remove(const char *path, const struct socket_file *file);

/* Next client of a socket that listens. */
int socket_accept(int fd);
/* The user at the other side of a unix socket, when it connected. */
bool socket_peer(int fd, uid_t *uid);
/*
 * As send(2) and recv(2), but with a descriptor (SCM_RIGHTS). Sending: fd, or -1 for none.
 * Receiving does not wait; *fd is set to the first descriptor that comes, if it is negative, and
 * the others are closed.
 */
ssize_t socket_send_fd(int socket, const void *bytes, size_t length, int fd);
ssize_t socket_receive_fd(int socket, void *to, size_t length, int *fd);
/* Where a TCP socket listens, as numbers: for port 0, which the kernel chooses. */
bool socket_where(int fd, char *host, size_t host_size, char *port, size_t port_size);

#endif
