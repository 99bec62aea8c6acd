/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names in open directories. The directory of each file that minivmm creates, replaces or removes
 * is resolved once and stays open. All later calls are relative to that descriptor and do not
 * follow a symbolic link as the last component. So nobody can redirect them between two calls.
 * Functions that return an int return -1 and set errno on failure. Any thread.
 */
#ifndef BASE_PLACE_H
#define BASE_PLACE_H

#include <stdbool.h>
#include <sys/stat.h>

struct place {
	int directory; /* -1: none */
	char *name;    /* of a file in it, without '/' */
};

/* Fails with ENOENT for an empty path, and with EISDIR for one that ends with '/'. */
int place_open(struct place *place, const char *path);
/* The place of NAME and suffix in the same directory. */
int place_beside(struct place *place, const struct place *other, const char *suffix);
/* Has no effect on a place that is closed or {0}. */
void place_close(struct place *place);

/* openat(2) and fstatat(2). ELOOP: the file is a symbolic link. */
int place_open_file(const struct place *place, int flags, mode_t mode);
int place_stat(const struct place *place, struct stat *st);
/* Whether the file that st describes has this name now. */
bool place_names(const struct place *place, const struct stat *st);
/*
 * Returns true for a file that another user may have put there as a trap: the directory is sticky
 * and other users can write to it, like /tmp, and the file is a regular file or a pipe that
 * belongs to another user. in_place: the file is written rather than replaced; then that of the
 * directory's owner is none, and a regular file with a second name is one. The kernel has the same
 * rules, if fs.protected_regular, fs.protected_fifos and fs.protected_hardlinks are set.
 */
bool place_is_trap(const struct place *place, const struct stat *st, bool in_place);

#endif
