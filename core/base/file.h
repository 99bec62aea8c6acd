/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Host files. This module alone opens, creates and replaces files whose paths come from the user.
 * Functions that return -1 or NULL print nothing and set errno; those of struct file_replacement
 * report errors. Any thread.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/made_file.h"
#include "base/why.h"

enum file_how {
	FILE_READ,
	FILE_NEW,    /* for writing; fails with EEXIST if the file exists */
	FILE_EMPTY,  /* for writing; created, or truncated */
	FILE_TEXT,   /* FILE_EMPTY for text: see below */
	FILE_APPEND, /* for writing; created if missing */
};

/*
 * Opens a file. Does not wait for the other end of a pipe; the descriptor is nonblocking.
 *
 * Inputs (FILE_READ) may be symbolic links. An output may not: errno is ELOOP. A regular file that
 * is FILE_EMPTY, FILE_TEXT or FILE_APPEND is written at its end, even if another process truncates
 * it, and is locked until it is closed: FILE_EMPTY fails with EBUSY while another process has it
 * open in one of the two ways, so it does not truncate what that process writes. An output that may
 * be a trap (place.h) fails with EPERM. FILE_EMPTY does not truncate a snapshot, a disk or a
 * kernel, and FILE_TEXT no binary file: EEXIST (file_content.h). file_why explains these errors.
 */
int file_open(const char *path, enum file_how how);
/* The same for an output of a start: a file that it creates is added to the list (NULL: none) as
 * MADE_OUTPUT. */
int file_open_output(const char *path, enum file_how how, struct made_files *made);
/*
 * Opens a file for reading and writing, for this process alone: no symbolic link, no trap, locked
 * until it is closed; otherwise ELOOP, EPERM, EBUSY. If it is missing, creates it with mode 0600.
 * flags: O_EXCL; O_APPEND, for text that grows: then the umask decides the mode; or 0. made: the
 * list to which it is added as MADE_WHOLE, or as MADE_FILLED if it is there and empty; NULL: none.
 */
int file_open_own(const char *path, int flags, struct made_files *made);
/* Sets the reason for an error of the functions above, and returns -1. */
int file_why(const char *path, int error, struct why *why);
/*
 * Opens a file like FILE_TEXT, but waits for the reader of a pipe. For the path of a descriptor
 * (see file_descriptor) it duplicates the descriptor, which keeps its position. made: as above.
 */
FILE *file_open_report(const char *path, struct made_files *made);
/* The same without a stream: a descriptor, or -1. */
int file_open_report_fd(const char *path, struct made_files *made);
/*
 * A stream that writes to a descriptor, and closes it in fclose(3). Its writes wait for room also
 * if another process, with which the descriptor is shared, has made it nonblocking. It has no
 * descriptor for fileno(3). NULL: no memory; then the descriptor stays open.
 */
FILE *file_stream(int fd);

/*
 * Returns the descriptor that a path like /dev/stdout, /dev/fd/3 or /proc/self/fd/3 names, or -1
 * for other paths. Opening such a path would reopen the file at its beginning.
 */
int file_descriptor(const char *path);
/* Whether the process was started with this descriptor: minivmm opens its own with FD_CLOEXEC. If
 * not, errno is EBADF. */
bool file_descriptor_given(int fd);
/*
 * Opens the pipe or terminal behind a descriptor again, for writing. The new description has its
 * own flags: O_NONBLOCK does not affect other processes. Async-signal-safe.
 */
int file_reopen(int fd);
/* Closes a descriptor on a separate thread, because close(2) can take long: it frees the blocks
 * of a file without a name, waits for a remote file system, or for the peer of a socket. */
void file_close_later(int fd);
/* Closes a descriptor (-1: none) after a failed call, keeps errno and returns -1. */
int file_close_failed(int fd);
/* Stores the path of an open file, truncated to size, or "" if it is unknown. */
void file_name(int fd, char *name, size_t size);

/* The identity of a file. path is borrowed. */
struct file_id {
	const char *path;
	bool exists, regular;
	dev_t device;
	ino_t inode;
	off_t size;
};
struct file_id file_identify(const char *path);
struct file_id file_identify_fd(int fd);
/*
 * Returns true if both are the same file or, if neither exists, both paths would create the same
 * file.
 */
bool file_same(const struct file_id *a, const struct file_id *b);

/*
 * Atomic replacement of a file: the new content appears under the name only when it is complete and
 * on the disk. The caller writes through fd, and can read. Where the file system supports it, the
 * file has no name until the commit, so that a killed process leaves nothing behind. A symbolic
 * link and a trap (place.h) are refused, then as now: the directory stays open. So is a file that
 * is not of the same kind: begins are the first bytes of that kind, borrowed; NULL means text.
 *
 * A new file has the mode that is given, less the umask. One that replaces another has the mode,
 * the owner and the group of the old one. If owner or group cannot be kept, if the owner is neither
 * this user nor the directory's owner, or if the old file has an ACL, it has only the owner's bits
 * of the mode.
 *
 * The functions report errors ("cannot write WHAT PATH: ...") and return 0 or a negative status.
 */
struct file_replacement {
	const char *what;   /* the kind of file, for messages; borrowed */
	const char *begins; /* as above */
	char *path;         /* as the user gave it */
	int fd;
	bool done;          /* the file has its final name, even if commit failed */
	bool fresh;         /* the target did not exist at the beginning; otherwise old is set */
	bool named;         /* the file has its temporary name */
	struct place place; /* of the target */
	struct stat old;
	char *temporary; /* a name in the same directory */
};
int file_replace(struct file_replacement *file, const char *what, const char *path, mode_t mode,
		 const char *begins);
/* Refuses what file_replace would refuse because of the name and the file that has it. Changes
 * nothing. */
int file_replace_check(const char *what, const char *path, const char *begins);
/* Syncs, renames, and syncs the directory. Closes fd. */
int file_replace_commit(struct file_replacement *file);
/* Removes an uncommitted file. Its blocks are then free, which takes about 0.1 s per GiB. */
void file_replace_discard(struct file_replacement *file);
/* Frees everything and removes an uncommitted file. Call it in any case. */
void file_replace_end(struct file_replacement *file);
/*
 * Reports a write error from errno: "cannot write WHAT PATH: DOING: ERROR". Returns the negative
 * status.
 */
int file_replace_fail(const struct file_replacement *file, const char *doing);

#endif
