/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files of the host: the one module that opens, creates and replaces them by a path that a person
 * gave. Functions that return -1 or NULL say nothing and set errno. Any thread.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

enum file_how {
	FILE_READ,
	FILE_NEW,    /* for writing; EEXIST if it exists */
	FILE_EMPTY,  /* for writing: created or truncated */
	FILE_APPEND, /* for writing at its end; created if it does not exist */
};

/* Opens a file. Does not wait for the other side of a pipe: such a descriptor does not block. */
int file_open(const char *path, enum file_how how);
/* Opens a file for reading and writing; *made: it did not exist. */
int file_open_or_make(const char *path, bool *made);
/* As FILE_EMPTY, but waits for the reader of a pipe. Of a descriptor (file_descriptor) it opens a
 * copy, which keeps its position. */
FILE *file_open_report(const char *path);

/*
 * The descriptor that a path like /dev/stdout, /dev/fd/3 or /proc/self/fd/3 stands for; -1: it is
 * the path of a file. Opening such a path would open the file behind the descriptor again, at its
 * beginning.
 */
int file_descriptor(const char *path);
/* Opens the pipe or terminal behind a descriptor once more, for writing: flags such as O_NONBLOCK
 * then concern us alone. */
int file_reopen(int fd);
/* The path of an open file, as far as it fits; "" if it is not known. */
void file_name(int fd, char *name, size_t size);

/* What tells two files apart. path is borrowed. */
struct file_id {
	const char *path;
	bool exists, regular;
	dev_t device;
	ino_t inode;
	off_t size;
};
struct file_id file_identify(const char *path);
struct file_id file_identify_fd(int fd);
/* The same file; or, where neither exists, two paths that would create the same file. */
bool file_same(const struct file_id *a, const struct file_id *b);

/*
 * A file that replaces another, or appears, only when it is complete and on the disk. It is written
 * through fd, without a name if the file system allows that, so that a killed process leaves
 * nothing behind. Symbolic links are followed, and stay.
 *
 * The functions report what failed ("cannot write WHAT PATH: ...") and return 0 or a negative
 * status.
 */
struct file_replacement {
	const char *what; /* the kind of file, for messages; borrowed */
	char *path;       /* as given */
	int fd;
	bool done;                         /* it has its name, whatever commit returned */
	bool fresh;                        /* nothing had that name at the beginning */
	bool named;                        /* it has its temporary name */
	char *target, *folder, *temporary; /* target: path without symbolic links */
};
int file_replace(struct file_replacement *file, const char *what, const char *path);
/* fsync, rename, fsync of the folder. Closes fd. */
int file_replace_commit(struct file_replacement *file);
/* In any case, at the end: removes what was not committed. */
void file_replace_end(struct file_replacement *file);
/* Reports that writing failed, from errno: "cannot write WHAT PATH: DOING: why". The status. */
int file_replace_fail(const struct file_replacement *file, const char *doing);

#endif
