/* SPDX-License-Identifier: BSD-2-Clause */
/* Host files: opening and comparing. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_content.h"
#include "base/file_lock.h"
#include "base/limit.h"

/* Closes a descriptor and a place, sets errno and returns -1. */
static int
refuse(int fd, struct place *place, int error)
{
	if (fd >= 0)
		close(fd);
	place_close(place);
	errno = error;
	return -1;
}

/*
 * Creates a file and adds it to the list, or opens the one that is there. Signals are blocked
 * between creating and adding, since the handler of one that ends the process undoes what is in the
 * list; but not while an open waits for the reader of a pipe.
 */
static int
open_or_create(const struct place *place, int flags, mode_t mode, enum made_how how,
	       struct made_files *made, bool *created)
{
	sigset_t all, before;
	int fd, error;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	fd = place_open_file(place, flags | O_CREAT | O_EXCL, mode);
	error = errno;
	if (fd >= 0 && made && made_files_add(made, how, fd, place)) {
		error = errno;
		unlinkat(place->directory, place->name, 0);
		close(fd);
		fd = -1;
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	errno = error;
	*created = fd >= 0;
	if (fd < 0 && error == EEXIST && !(flags & O_EXCL))
		fd = place_open_file(place, flags, mode);
	return fd;
}

/* Opens an output by its place: see enum file_how. more: flags of open(2). */
static int
open_output(struct place *place, enum file_how how, int more, struct made_files *made)
{
	static const int flags[] = {
		[FILE_NEW] = O_WRONLY | O_CREAT | O_EXCL,
		[FILE_EMPTY] = O_WRONLY | O_CREAT | O_APPEND,
		[FILE_TEXT] = O_WRONLY | O_CREAT | O_APPEND,
		[FILE_APPEND] = O_WRONLY | O_CREAT | O_APPEND,
	};
	bool empty = how == FILE_EMPTY || how == FILE_TEXT, created;
	struct stat st;
	int fd;

	/* Before it is opened, too: that could wait for the reader of another user's pipe. */
	if (!place_stat(place, &st) && place_is_trap(place, &st, true))
		return refuse(-1, place, EPERM);
	fd = open_or_create(place, flags[how] | more, 0666, MADE_OUTPUT, made, &created);
	if (fd < 0 || fstat(fd, &st))
		return refuse(fd, place, errno);
	if (place_is_trap(place, &st, true))
		return refuse(fd, place, EPERM);
	if (S_ISBLK(st.st_mode)) /* its end is where nothing can be written */
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_APPEND);
	if (!S_ISREG(st.st_mode) || how == FILE_NEW)
		return fd;
	if (empty && file_content(place, &st, how == FILE_TEXT))
		return refuse(fd, place, EEXIST);
	/* Nobody else writes to the file when it is truncated; afterwards, others may append. */
	if ((empty && (file_lock(fd, false) || ftruncate(fd, 0))) || file_lock(fd, true))
		return refuse(fd, place, errno);
	/* A process whose start fails removes the file that it has created, and only then unlocks
	 * it: the one that was opened may have no name anymore. */
	return place_names(place, &st) ? fd : refuse(fd, place, EBUSY);
}

static int
open_output_path(const char *path, enum file_how how, int more, struct made_files *made)
{
	struct place place;
	int fd;

	if (place_open(&place, path))
		return -1;
	fd = open_output(&place, how, more, made);
	place_close(&place);
	return fd;
}

int
file_open(const char *path, enum file_how how)
{
	if (how == FILE_READ)
		return open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return file_open_output(path, how, NULL);
}

int
file_open_output(const char *path, enum file_how how, struct made_files *made)
{
	return open_output_path(path, how, O_NONBLOCK, made);
}

int
file_open_own(const char *path, int flags, struct made_files *made)
{
	struct place place;
	struct stat st;
	bool created;
	int fd;

	if (place_open(&place, path))
		return -1;
	fd = open_or_create(&place, O_RDWR | flags, flags & O_APPEND ? 0666 : 0600, MADE_WHOLE,
			    made, &created);
	if (fd < 0 || fstat(fd, &st))
		return refuse(fd, &place, errno);
	if (place_is_trap(&place, &st, true))
		return refuse(fd, &place, EPERM);
	if (file_lock(fd, false) || !place_names(&place, &st)) /* as above */
		return refuse(fd, &place, EBUSY);
	if (fstat(fd, &st) || (made && !created && S_ISREG(st.st_mode) && !st.st_size &&
			       made_files_add(made, MADE_FILLED, fd, NULL)))
		return refuse(fd, &place, errno);
	place_close(&place);
	return fd;
}

/* The reason for EPERM, EBUSY, EEXIST or a link; false: the error has another reason. */
static bool
explain(const char *path, int error, struct why *why)
{
	struct place place;
	struct stat st;
	bool there = !place_open(&place, path) && !place_stat(&place, &st), known = true;
	const char *content = there && error == EEXIST ? file_content(&place, &st, true) : NULL;
	char owner[FILE_LOCK_PROCESS];
	int fd = -1;

	if (content)
		why_set(why, "it is %s; remove it or name another file", content);
	else if (error == ELOOP && file_descriptor(path) >= 0)
		why_set(why, "it is a descriptor, not a file; name a file");
	else if (there && (error == ELOOP || error == EACCES) && S_ISLNK(st.st_mode))
		why_set(why, "it is a symbolic link; name the file itself");
	else if (there && error == EPERM &&
		 (place_is_trap(&place, &st, true) || place_is_trap(&place, &st, false)))
		why_set(why, "it belongs to another user, or has two names, in a directory to "
			     "which everyone can write; remove it or name another file");
	else if (error == EBUSY) {
		fd = there ? place_open_file(&place, O_PATH, 0) : -1;
		why_set(why, "%s uses it; stop it or name another file",
			file_lock_owner(fd, owner, sizeof(owner)));
	} else
		known = false;
	if (fd >= 0)
		close(fd);
	place_close(&place);
	return known;
}

int
file_why(const char *path, int error, struct why *why)
{
	if (!explain(path, error, why))
		why_set(why, "%s", limit_error(error).text);
	why_set_error(why, error);
	return -1;
}

/* For fopencookie(3): returns what is written, less than length after an error. */
static ssize_t
write_waiting(void *cookie, const char *bytes, size_t length)
{
	struct pollfd room = { .fd = (int)(intptr_t)cookie, .events = POLLOUT };
	size_t done = 0;

	while (done < length) {
		ssize_t n = write(room.fd, bytes + done, length - done);

		if (n < 0 && errno == EAGAIN)
			poll(&room, 1, -1);
		else if (n < 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	return (ssize_t)done;
}

static int
close_stream(void *cookie)
{
	return close((int)(intptr_t)cookie);
}

FILE *
file_stream(int fd)
{
	return fopencookie(
	    (void *)(intptr_t)fd, "w",
	    (cookie_io_functions_t){ .write = write_waiting, .close = close_stream });
}

int
file_open_report_fd(const char *path, struct made_files *made)
{
	int fd = file_descriptor(path);

	return fd < 0 ? open_output_path(path, FILE_TEXT, 0, made) : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

FILE *
file_open_report(const char *path, struct made_files *made)
{
	int fd = file_open_report_fd(path, made);
	FILE *file = fd < 0 ? NULL : file_stream(fd);

	if (fd >= 0 && !file)
		file_close_failed(fd);
	return file;
}

int
file_descriptor(const char *path)
{
	static const char *const names[] = { "/dev/stdin", "/dev/stdout", "/dev/stderr" };
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };

	for (int fd = 0; fd <= 2; fd++)
		if (!strcmp(path, names[fd]))
			return fd;
	for (int i = 0; i < 2; i++) {
		size_t length = strlen(folders[i]), digits;
		int fd = 0;

		if (strncmp(path, folders[i], length))
			continue;
		path += length;
		digits = strspn(path, "0123456789");
		if (!digits || digits > 6 || path[digits])
			return -1;
		while (*path)
			fd = 10 * fd + *path++ - '0';
		return fd;
	}
	return -1;
}

bool
file_descriptor_given(int fd)
{
	int flags = fcntl(fd, F_GETFD);

	errno = EBADF;
	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/* Writes the /proc path of a descriptor into a buffer of 32 bytes. Async-signal-safe. */
static const char *
self_path(int fd, char *buffer)
{
	char *end = stpcpy(buffer, "/proc/self/fd/");
	int unit = 1;

	while (fd / unit >= 10)
		unit *= 10;
	for (; unit; unit /= 10)
		*end++ = (char)('0' + fd / unit % 10);
	*end = '\0';
	return buffer;
}

int
file_reopen(int fd)
{
	char self[32];

	return open(self_path(fd, self), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void *
close_it(void *argument)
{
	close((int)(intptr_t)argument);
	return NULL;
}

void
file_close_later(int fd)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	pthread_t thread;
	int error;

	sigfillset(&all);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attributes, close_it, (void *)(intptr_t)fd);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	if (error)
		close(fd);
}

int
file_close_failed(int fd)
{
	int error = errno;

	if (fd >= 0)
		close(fd);
	errno = error;
	return -1;
}

void
file_name(int fd, char *name, size_t size)
{
	char self[32];
	ssize_t n = size ? readlink(self_path(fd, self), name, size - 1) : 0;

	if (size)
		name[n > 0 ? n : 0] = '\0';
}

static struct file_id
id_of(const char *path, bool exists, const struct stat *st)
{
	return (struct file_id){
		.path = path,
		.exists = exists,
		.regular = exists && S_ISREG(st->st_mode),
		.device = st->st_dev,
		.inode = st->st_ino,
		.size = st->st_size,
	};
}

struct file_id
file_identify(const char *path)
{
	struct stat st = { 0 };
	bool exists = !stat(path, &st);

	return id_of(path, exists, &st);
}

struct file_id
file_identify_fd(int fd)
{
	struct stat st = { 0 };
	bool exists = !fstat(fd, &st);

	return id_of("", exists, &st);
}

/* Resolves the directory of a path and appends the last component. The file need not exist. */
static bool
full_name(const char *path, char name[PATH_MAX + NAME_MAX + 2])
{
	char copy[PATH_MAX], second_copy[PATH_MAX];

	if (strlen(path) >= sizeof(copy))
		return false;
	strcpy(copy, path);
	strcpy(second_copy, path);
	if (!realpath(dirname(copy), name))
		return false;
	strcat(name, "/");
	strncat(name, basename(second_copy), NAME_MAX);
	return true;
}

static const char *
last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

bool
file_same(const struct file_id *a, const struct file_id *b)
{
	char name_a[PATH_MAX + NAME_MAX + 2], name_b[PATH_MAX + NAME_MAX + 2];

	if (a->exists && b->exists)
		return a->device == b->device && a->inode == b->inode;
	return a->exists == b->exists && !strcmp(last_part(a->path), last_part(b->path)) &&
	       full_name(a->path, name_a) && full_name(b->path, name_b) && !strcmp(name_a, name_b);
}
