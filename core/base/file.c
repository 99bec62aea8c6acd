/* SPDX-License-Identifier: BSD-2-Clause */
/* Host files: opening, comparing and atomic replacement. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limit.h"
#include "base/log.h"

int
file_open(const char *path, enum file_how how)
{
	static const int flags[] = {
		[FILE_READ] = O_RDONLY,
		[FILE_NEW] = O_WRONLY | O_CREAT | O_EXCL,
		[FILE_EMPTY] = O_WRONLY | O_CREAT | O_TRUNC,
		[FILE_APPEND] = O_WRONLY | O_CREAT | O_APPEND,
	};

	return open(path, flags[how] | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);
}

int
file_open_or_make(const char *path, bool *made)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

	*made = fd >= 0;
	return fd >= 0 || errno != EEXIST ? fd : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
}

FILE *
file_open_report(const char *path)
{
	int fd = file_descriptor(path);
	FILE *file;

	if (fd < 0)
		return fopen(path, "we");
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	file = fd < 0 ? NULL : fdopen(fd, "w");
	if (fd >= 0 && !file)
		close(fd);
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

/* Writes the /proc path of a descriptor into a buffer of 32 bytes. */
static const char *
self_path(int fd, char *buffer)
{
	snprintf(buffer, 32, "/proc/self/fd/%d", fd);
	return buffer;
}

int
file_reopen(int fd)
{
	char self[32];

	return open(self_path(fd, self), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
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

int
file_replace_fail(const struct file_replacement *file, const char *doing)
{
	return fail(status_for(errno, STATUS_IO), "cannot write %s %s: %s: %s%s", file->what,
		    file->path, doing, limit_error(errno).text,
		    errno == ENOSPC || errno == EDQUOT ? "; make room there" : "");
}

static int
refuse(const struct file_replacement *file, enum status status, const char *why)
{
	return fail(status, "cannot write %s %s: %s", file->what, file->path, why);
}

/* Only a writable regular file is replaced: rename(2) would replace anything. */
static int
check_target(struct file_replacement *file)
{
	struct stat status;

	file->fresh = stat(file->target, &status) && errno == ENOENT;
	if (file->fresh)
		return 0;
	if (stat(file->target, &status))
		return file_replace_fail(file, "checking it");
	if (S_ISDIR(status.st_mode))
		return refuse(file, STATUS_IO, "it is a directory; name a file");
	if (!S_ISREG(status.st_mode))
		return refuse(file, STATUS_IO, "it exists and is not a regular file");
	if (faccessat(AT_FDCWD, file->target, W_OK, AT_EACCESS))
		return file_replace_fail(file, "it exists");
	return 0;
}

#define LINKS_MAX 40 /* as in the kernel */

/*
 * The target of the symbolic link at path, resolved against path's directory; malloced. NULL: not a
 * link.
 */
static char *
follow_link(const char *path)
{
	const char *slash = strrchr(path, '/');
	char link[PATH_MAX], *to;
	ssize_t length = readlink(path, link, sizeof(link) - 1);

	if (length < 0)
		return NULL;
	link[length] = '\0';
	if (link[0] == '/' || !slash)
		return strdup(link);
	return asprintf(&to, "%.*s%s", (int)(slash - path + 1), path, link) < 0 ? NULL : to;
}

/* Resolves all symbolic links, even if the final target does not exist. Malloced, or NULL. */
static char *
follow(const char *path)
{
	char *target = realpath(path, NULL), *next;

	if (target || errno != ENOENT)
		return target ? target : strdup(path);
	target = strdup(path);
	for (int links = 0; target && links < LINKS_MAX && (next = follow_link(target)); links++) {
		free(target);
		target = next;
	}
	return target;
}

/*
 * Sets target, folder and temporary. The temporary name is hidden and is at most NAME_MAX bytes
 * long.
 */
static int
name_files(struct file_replacement *file)
{
	const char *slash, *name;
	uint64_t random;

	file->target = follow(file->path);
	if (!file->target || getrandom(&random, sizeof(random), 0) != sizeof(random))
		return file_replace_fail(file, "resolving its path");
	slash = strrchr(file->target, '/');
	name = slash ? slash + 1 : file->target;
	if (!*name)
		return refuse(file, STATUS_IO, "name a file");
	file->folder = slash ? strndup(file->target, (size_t)(name - file->target)) : strdup("./");
	if (!file->folder || asprintf(&file->temporary, "%s.%.200s.%016llx", file->folder, name,
				      (unsigned long long)random) < 0) {
		file->temporary = NULL;
		return file_replace_fail(file, "resolving its path");
	}
	return 0;
}

/*
 * Creates a file without a name, if the file system supports it, so that a killed process leaves
 * nothing behind. The file is linked to its temporary name at the end: linkat(2) cannot replace a
 * file, rename(2) can.
 */
static int
open_unnamed(struct file_replacement *file)
{
	errno = EOPNOTSUPP;
	if (!access("/proc/self/fd", X_OK)) /* give_name() needs it */
		file->fd = open(file->folder, O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
	return file->fd < 0 ? -1 : 0;
}

static int
give_name(struct file_replacement *file)
{
	char self[32];

	return linkat(AT_FDCWD, self_path(file->fd, self), AT_FDCWD, file->temporary,
		      AT_SYMLINK_FOLLOW);
}

int
file_replace(struct file_replacement *file, const char *what, const char *path)
{
	int failed;

	*file = (struct file_replacement){ .what = what, .path = strdup(path), .fd = -1 };
	if (!file->path)
		return fail_memory("writing %s %s", what, path);
	failed = name_files(file);
	if (!failed && file->temporary)
		failed = check_target(file);
	/* Not mkstemp: here the kernel applies the umask, which cannot be read without a race. */
	if (failed || !file->temporary || !open_unnamed(file))
		return failed;
	/* The errors of kernels and file systems without O_TMPFILE. */
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return file_replace_fail(file, "creating a file in its directory");
	file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	file->named = file->fd >= 0;
	return file->named ? 0 : file_replace_fail(file, "creating a file in its directory");
}

/* Syncing a file does not sync its directory entry. */
static int
sync_folder(const struct file_replacement *file)
{
	int fd = open(file->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int failed = 0;

	if (fd < 0 && errno == EACCES)
		return 0; /* writable but not readable: it cannot be synced */
	/* EINVAL: the file system cannot sync a directory. */
	if (fd < 0 || (fsync(fd) && errno != EINVAL))
		failed =
		    fail(STATUS_IO,
			 "%s %s is written, but a crash may lose it: syncing its directory: %s",
			 file->what, file->path, limit_error(errno).text);
	if (fd >= 0)
		close(fd);
	return failed;
}

int
file_replace_commit(struct file_replacement *file)
{
	int fd = file->fd;
	struct stat status;

	/* Another process has created the file meanwhile. Do not replace it. */
	if (file->fresh && !lstat(file->target, &status))
		return refuse(file, STATUS_IO,
			      "another process has created that file meanwhile; name another");
	if (fsync(fd))
		return file_replace_fail(file, "syncing");
	if (!file->named && give_name(file))
		return file_replace_fail(file, "linking");
	file->named = true;
	file->fd = -1;
	if (close(fd))
		return file_replace_fail(file, "closing");
	if (rename(file->temporary, file->target))
		return file_replace_fail(file, "renaming");
	file->named = false;
	file->done = true;
	return sync_folder(file);
}

void
file_replace_end(struct file_replacement *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->named)
		unlink(file->temporary);
	free(file->temporary);
	free(file->folder);
	free(file->target);
	free(file->path);
	*file = (struct file_replacement){ .fd = -1 };
}
