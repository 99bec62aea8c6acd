/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stream sockets of the host, unix and TCP. This module alone connects, listens and accepts.
 * Functions that return a descriptor return -1 and set errno on failure. Descriptors are
 * nonblocking, except those of socket_connect_unix. Any thread.
 */
#ifndef BASE_SOCKET_H
#define BASE_SOCKET_H

#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "base/lock_file.h"
#include "base/why.h"

/*
 * The maximum of the last component of a unix socket's path, in bytes. The directory can have any
 * length, so what works with a relative path works with the absolute one, too.
 */
#define SOCKET_NAME_MAX 85

/* Checks a path to which suffix more bytes will be appended. Returns 0, or -1 with the reason. */
int socket_check_unix(const char *path, size_t suffix, struct why *why);
/* Connects and waits for the connection. */
int socket_connect_unix(const char *path);
/*
 * Starts a connection. If *pending is set, the descriptor becomes writable when the attempt ends;
 * socket_error then returns the result.
 */
int socket_begin_unix(const char *path, bool *pending);
int socket_begin(const struct addrinfo *address, bool *pending);
int socket_error(int fd); /* 0 or an errno */

/*
 * Resolves "HOST:PORT" or "[HOST]:PORT"; blocks on the host's resolver. listen: for a listening
 * socket. Free *addresses with freeaddrinfo. socket_check_tcp checks the syntax only. Both return
 * 0, or -1 with the reason in why.
 */
int socket_resolve(const char *text, bool listen, struct addrinfo **addresses, struct why *why);
int socket_check_tcp(const char *text, struct why *why);

/* The files of a listening unix socket: its own, and PATH.lock, which is locked while it listens
 * and is empty. {0}: none. */
struct socket_file {
	struct made_file socket;
	struct lock_file lock;
};
/*
 * Creates the socket's file and listens. Under the lock it replaces the file of a dead process;
 * so of several processes that start at once, one listens and all others fail. mode 0: the umask
 * decides. Returns a descriptor, or -1 with the reason in why, which names the process that uses
 * the socket.
 */
int socket_listen_unix(const char *path, mode_t mode, int backlog, struct socket_file *file,
		       struct why *why);
/*
 * Takes the listening socket that a service manager has passed to this process: descriptor 3, if
 * LISTEN_PID and LISTEN_FDS say so (sd_listen_fds(3)). Removes the variables. *fd: the socket, or
 * -1 if none was passed. 0, or -1 with the reason in why: several were passed, or another kind of
 * descriptor. Call it before the process opens its first descriptor, once.
 */
int socket_take_listener(int *fd, struct why *why);
/* Removes both files, unless another process has replaced the socket's. Idempotent. */
void socket_file_remove(struct socket_file *file);
/* Listens on a TCP address. */
int socket_listen(const struct addrinfo *address, int backlog);

/* Accepts the next client of a listening socket. */
int socket_accept(int fd);
/* Stores the user that the peer of a unix socket had when it connected. */
bool socket_peer(int fd, uid_t *uid);
/*
 * Like send(2) and recv(2), with a descriptor (SCM_RIGHTS). socket_send_fd: fd is the descriptor,
 * or -1 for none. socket_receive_fd does not wait. It stores the first received descriptor in *fd
 * if *fd is negative, and closes the others.
 */
ssize_t socket_send_fd(int socket, const void *bytes, size_t length, int fd);
ssize_t socket_receive_fd(int socket, void *to, size_t length, int *fd);
/*
 * Has the kernel refuse descriptors that a peer of this unix socket passes, or a peer of a socket
 * that it accepts: recv(2) drops them, and then waits as long as close(2) of one. Without effect
 * before Linux 6.16. socket_begin_unix does it, too.
 */
void socket_refuse_passed(int fd);
/*
 * Checks a descriptor that a client has passed: a connected unix stream socket without unread
 * bytes. Makes it nonblocking, and refuses descriptors as above. The client has the same open file:
 * it can clear O_NONBLOCK. 0, or -1 with the reason in why.
 */
int socket_check_passed(int fd, struct why *why);
/*
 * Closes a descriptor that a client has passed. close(2) of it can wait as long as the client likes
 * (SO_LINGER, a remote file system), so a separate thread closes it. socket_close_client closes a
 * connection of a unix socket, in which descriptors may wait that nobody has received.
 */
void socket_close_passed(int fd);
void socket_close_client(int fd);
/*
 * Stores the local address of a TCP socket in numeric form. Port 0 is replaced by the kernel's
 * choice.
 */
bool socket_local_address(int fd, char *host, size_t host_size, char *port, size_t port_size);

#endif
