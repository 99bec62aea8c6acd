/* SPDX-License-Identifier: BSD-2-Clause */
/* Unix stream sockets of the host: connecting, and listening under a lock file. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_lock.h"
#include "base/lock_file.h"
#include "base/socket.h"

/* The longest address is /proc/self/fd/NUMBER/NAME. */
_Static_assert(sizeof("/proc/self/fd/1234567/") - 1 + SOCKET_NAME_MAX <
		   sizeof(((struct sockaddr_un *)0)->sun_path),
	       "SOCKET_NAME_MAX");

int
socket_check_unix(const char *path, size_t suffix, struct why *why)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	if (!*name)
		return why_set(why, "names no socket");
	if (strlen(name) + suffix > SOCKET_NAME_MAX)
		return why_set(why, "has a name of more than %zu bytes; use a shorter name",
			       SOCKET_NAME_MAX - suffix);
	return 0;
}

/*
 * The address of a socket in an open directory. A path that is too long for an address leads
 * through the directory's descriptor, so that neither the length of the directory nor whether it
 * is relative matters.
 */
static void
address_of(const struct place *place, const char *path, struct sockaddr_un *address)
{
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (strlen(path) < sizeof(address->sun_path))
		strcpy(address->sun_path, path);
	else
		snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d/%.*s",
			 place->directory, SOCKET_NAME_MAX, place->name);
}

/* connect(2) with the path's address; with EINPROGRESS like there. */
static int
connect_path(int fd, const char *path)
{
	struct sockaddr_un address;
	struct place place;
	int r, error;

	if (socket_check_unix(path, 0, NULL)) {
		errno = *path ? ENAMETOOLONG : ENOENT;
		return -1;
	}
	if (place_open(&place, path))
		return -1;
	address_of(&place, path, &address);
	r = connect(fd, (const struct sockaddr *)&address, sizeof(address));
	error = errno;
	place_close(&place);
	errno = error;
	return r;
}

int
socket_connect_unix(const char *path)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd < 0 || connect_path(fd, path) ? file_close_failed(fd) : fd;
}

int
socket_begin_unix(const char *path, bool *pending)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	*pending = false;
	if (fd >= 0)
		socket_refuse_passed(fd);
	if (fd < 0 || !connect_path(fd, path))
		return fd;
	*pending = errno == EINPROGRESS;
	return *pending ? fd : file_close_failed(fd);
}

/* Removes a socket on which nobody listens. Its process may know nothing of the lock. */
static int
remove_stale(const struct place *place, const char *path, struct why *why)
{
	struct stat before;
	struct ucred peer = { 0 };
	char owner[FILE_LOCK_PROCESS];
	socklen_t size = sizeof(peer);
	bool pending;
	int fd, error;

	if (place_stat(place, &before))
		return errno == ENOENT ? 0 : why_errno(why, errno, "checking it");
	if (!S_ISSOCK(before.st_mode))
		return why_set(why,
			       "the file exists and is not a socket; remove it or name another");
	fd = socket_begin_unix(path, &pending);
	error = fd < 0 ? errno : 0;
	if (fd >= 0 && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size))
		peer.pid = 0;
	if (fd >= 0)
		close(fd);
	if (!error || error == EAGAIN)
		return why_set(why, "%s listens on it; stop it or name another socket",
			       file_lock_process(peer.pid, owner, sizeof(owner)));
	if (error != ECONNREFUSED)
		return why_errno(why, error, "connecting to it");
	if (!place_names(place, &before))
		return why_set(why, "another process has just replaced it; name another socket");
	return unlinkat(place->directory, place->name, 0)
		   ? why_errno(why, errno, "removing the socket of a dead process")
		   : 0;
}

/* The mode that a socket has before bind is that of its file. */
static int
bind_and_listen(int fd, const struct sockaddr_un *address, mode_t mode, int backlog,
		struct socket_file *file, struct place *place)
{
	struct stat st;

	if ((mode && fchmod(fd, mode)) ||
	    bind(fd, (const struct sockaddr *)address, sizeof(*address)) || place_stat(place, &st))
		return -1;
	made_file_set(&file->socket, place, &st);
	return listen(fd, backlog);
}

int
socket_listen_unix(const char *path, mode_t mode, int backlog, struct socket_file *file,
		   struct why *why)
{
	static const struct lock_file_words words = { "listens on it", "socket" };
	struct sockaddr_un address;
	struct place place;
	int fd = -1, r;

	*file = (struct socket_file){ 0 };
	if (socket_check_unix(path, 0, why))
		return -1;
	if (place_open(&place, path))
		return why_errno(why, errno, "cannot open its directory");
	r = lock_file_take(&file->lock, &place, &words, why);
	if (!r) /* who holds the lock may remove a stale socket, and bind */
		r = remove_stale(&place, path, why);
	if (!r) {
		address_of(&place, path, &address);
		fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		r = fd < 0 || bind_and_listen(fd, &address, mode, backlog, file, &place)
			? why_errno(why, errno, "creating it")
			: 0;
	}
	place_close(&place);
	if (!r)
		return fd;
	if (fd >= 0)
		close(fd);
	socket_file_remove(file);
	return -1;
}

void
socket_file_remove(struct socket_file *file)
{
	made_file_remove(&file->socket);
	lock_file_remove(&file->lock);
}
