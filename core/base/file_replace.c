/* SPDX-License-Identifier: BSD-2-Clause */
/* Atomic replacement of host files. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_content.h"
#include "base/limit.h"
#include "base/log.h"

#define ACL "system.posix_acl_access"
#define LARGE (16 << 20) /* bytes of a file that takes longer to free than a thread to start */

int
file_replace_fail(const struct file_replacement *file, const char *doing)
{
	return fail(status_for(errno, STATUS_IO), "cannot write %s %s: %s: %s%s", file->what,
		    file->path, doing, limit_error(errno).text,
		    errno == ENOSPC || errno == EDQUOT ? "; make room there" : "");
}

static int
refuse(const struct file_replacement *file, const char *why)
{
	return fail(STATUS_IO, "cannot write %s %s: %s", file->what, file->path, why);
}

/* Refuses the target if it is of another kind than the file that replaces it. */
static int
check_content(const struct file_replacement *file)
{
	const struct place *place = &file->place;
	struct why why;

	if (!file->begins && file_content(place, &file->old, true)) {
		file_why(file->path, EEXIST, &why);
		return refuse(file, why.text);
	}
	if (!file->begins || file_content_begins(place, &file->old, file->begins))
		return 0;
	return fail(STATUS_IO,
		    "cannot write %s %s: it exists and is not a %s; remove it or name another file",
		    file->what, file->path, file->what);
}

/* Only a writable regular file is replaced: rename(2) would replace anything. */
static int
check_target(struct file_replacement *file)
{
	const struct place *place = &file->place;
	struct why why;

	if (place_stat(place, &file->old)) {
		file->fresh = errno == ENOENT;
		return file->fresh ? 0 : file_replace_fail(file, "checking it");
	}
	if (S_ISDIR(file->old.st_mode))
		return refuse(file, "it is a directory; name a file");
	if (S_ISLNK(file->old.st_mode) || place_is_trap(place, &file->old, false)) {
		file_why(file->path, S_ISLNK(file->old.st_mode) ? ELOOP : EPERM, &why);
		return refuse(file, why.text);
	}
	if (!S_ISREG(file->old.st_mode))
		return refuse(file, "it exists and is not a regular file");
	if (faccessat(place->directory, place->name, W_OK, AT_EACCESS))
		return file_replace_fail(file, "it exists");
	return check_content(file);
}

/*
 * Creates a file without a name, if the file system supports it, so that a killed process leaves
 * nothing behind.
 */
static int
open_unnamed(struct file_replacement *file, mode_t mode)
{
	errno = EOPNOTSUPP;
	if (!access("/proc/self/fd", X_OK)) /* give_name() needs it */
		file->fd = openat(file->place.directory, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, mode);
	return file->fd < 0 ? -1 : 0;
}

/* Links the file to its temporary name: linkat(2) cannot replace a file, renameat(2) can. */
static int
give_name(struct file_replacement *file)
{
	char self[32];

	snprintf(self, sizeof(self), "/proc/self/fd/%d", file->fd);
	return linkat(AT_FDCWD, self, file->place.directory, file->temporary, AT_SYMLINK_FOLLOW);
}

/* Removes the ACL that a new file has from its directory: the rights in it that its mode masks
 * would come into effect with another mode. Returns whether there is none now. */
static bool
remove_acl(int fd)
{
	return !fremovexattr(fd, ACL) || errno == ENODATA || errno == EOPNOTSUPP;
}

/* The new file gets the access rights of the old one: see file.h. The mode is set last, so that
 * nobody has more rights meanwhile. */
static int
keep_rights(const struct file_replacement *file)
{
	mode_t mode = file->old.st_mode & 0777;
	char old[32 + NAME_MAX];
	struct stat now, directory;
	bool same, trusted;

	if (file->fresh)
		return 0;
	if (fstat(file->fd, &now) || fstat(file->place.directory, &directory))
		return -1;
	same = file->old.st_uid == now.st_uid && file->old.st_gid == now.st_gid;
	/* Any other user may have made the file to receive what is written. */
	trusted = file->old.st_uid == now.st_uid || file->old.st_uid == directory.st_uid;
	if (!same && (!trusted || fchown(file->fd, file->old.st_uid, file->old.st_gid)))
		mode &= 0700;
	/* With an ACL, the bits of the group are its mask. */
	snprintf(old, sizeof(old), "/proc/self/fd/%d/%s", file->place.directory, file->place.name);
	if (lgetxattr(old, ACL, NULL, 0) > 0 || !remove_acl(file->fd))
		mode &= 0700;
	return mode == (now.st_mode & 0777) ? 0 : fchmod(file->fd, mode);
}

/* Fails with ENOENT for an empty path and for a directory that does not exist. */
static int
open_place(struct file_replacement *file)
{
	struct place place;
	struct stat st;

	if (!place_open(&place, file->path)) {
		file->place = place;
		return 0;
	}
	if (!*file->path || errno == EISDIR)
		return refuse(file, !stat(file->path, &st) ? "it is a directory; name a file"
							   : "name a file");
	return file_replace_fail(file, errno == ENOTDIR ? "checking it"
							: "creating a file in its directory");
}

/* Opens the place of the target, and checks what is there. */
static int
begin(struct file_replacement *file, const char *what, const char *path, const char *begins)
{
	int failed;

	*file = (struct file_replacement){
		.what = what, .begins = begins, .path = strdup(path), .fd = -1
	};
	if (!file->path)
		return fail_memory("writing %s %s", what, path);
	failed = open_place(file);
	return failed ? failed : check_target(file);
}

int
file_replace_check(const char *what, const char *path, const char *begins)
{
	struct file_replacement file;
	int failed = begin(&file, what, path, begins);

	file_replace_end(&file);
	return failed;
}

int
file_replace(struct file_replacement *file, const char *what, const char *path, mode_t mode,
	     const char *begins)
{
	uint64_t random;
	int failed = begin(file, what, path, begins);

	if (failed)
		return failed;
	if (getrandom(&random, sizeof(random), 0) != sizeof(random) ||
	    asprintf(&file->temporary, ".%.200s.%016llx", file->place.name,
		     (unsigned long long)random) < 0) {
		file->temporary = NULL;
		return file_replace_fail(file, "naming a temporary file");
	}
	/* The errors of kernels and file systems without O_TMPFILE. */
	if (open_unnamed(file, mode) && errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return file_replace_fail(file, "creating a file in its directory");
	if (file->fd < 0) {
		file->fd = openat(file->place.directory, file->temporary,
				  O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode);
		file->named = file->fd >= 0;
	}
	if (file->fd < 0)
		return file_replace_fail(file, "creating a file in its directory");
	return keep_rights(file) ? file_replace_fail(file, "setting its mode") : 0;
}

/* Syncing a file does not sync its directory entry. */
static int
sync_directory(const struct file_replacement *file)
{
	int fd = openat(file->place.directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

/* Renames the temporary file. A new file does not replace one of another process. */
static int
rename_temporary(const struct file_replacement *file)
{
	int directory = file->place.directory;

	if (!file->fresh)
		return renameat(directory, file->temporary, directory, file->place.name);
	if (!renameat2(directory, file->temporary, directory, file->place.name, RENAME_NOREPLACE))
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* The file system cannot do that. */
	return linkat(directory, file->temporary, directory, file->place.name, 0) ||
	       unlinkat(directory, file->temporary, 0);
}

/* Renames like rename_temporary(). The kernel frees the old file with its last descriptor; that
 * takes a quarter of the time of writing it, which nobody needs to wait for. */
static int
replace_old(const struct file_replacement *file)
{
	bool large = !file->fresh && file->old.st_blocks * 512 >= LARGE;
	int old = large ? place_open_file(&file->place, O_PATH, 0) : -1;
	int failed = rename_temporary(file), error = errno;

	if (old >= 0)
		file_close_later(old);
	errno = error;
	return failed;
}

int
file_replace_commit(struct file_replacement *file)
{
	int fd = file->fd;

	if (fsync(fd))
		return file_replace_fail(file, "syncing");
	if (!file->named && give_name(file))
		return file_replace_fail(file, "linking");
	file->named = true;
	file->fd = -1;
	if (close(fd))
		return file_replace_fail(file, "closing");
	if (replace_old(file))
		return errno == EEXIST
			   ? refuse(file, "another process has created that file meanwhile; name "
					  "another")
			   : file_replace_fail(file, "renaming");
	file->named = false;
	file->done = true;
	return sync_directory(file);
}

void
file_replace_discard(struct file_replacement *file)
{
	if (file->fd >= 0)
		close(file->fd);
	if (file->named)
		unlinkat(file->place.directory, file->temporary, 0);
	file->fd = -1;
	file->named = false;
}

void
file_replace_end(struct file_replacement *file)
{
	file_replace_discard(file);
	place_close(&file->place);
	free(file->temporary);
	free(file->path);
	*file = (struct file_replacement){ .fd = -1 };
}
