/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that this process has created, and removes again. Functions that return an int return -1
 * and set errno on failure.
 */
#ifndef BASE_MADE_FILE_H
#define BASE_MADE_FILE_H

#include <stdatomic.h>
#include <sys/stat.h>

#include "base/place.h"

/* One file, which the process removes at its end. {0}: none. Any thread. */
struct made_file {
	struct place place;
	dev_t device;
	ino_t inode;
};
/* Takes over the place. The file of that name is the one that st describes. */
void made_file_set(struct made_file *made, struct place *place, const struct stat *st);
/* Removes the file unless another file has its name now. Frees the rest. */
void made_file_remove(struct made_file *made);

/*
 * The list of all that one start has done to files. If the machine never runs, made_files_undo
 * leaves them as they were. {0}: empty. One thread at a time.
 */
struct made_files {
	_Atomic(struct made_entry *) first;
};
enum made_how {
	MADE_WHOLE,  /* created; removed with its content */
	MADE_OUTPUT, /* created; removed if it is still empty and no other process uses it */
	MADE_FILLED, /* it was there, and empty, and is locked; emptied */
};
/*
 * Adds an open file; for MADE_FILLED place is NULL. Place and descriptor stay the caller's: the
 * list has duplicates. So the locks of the file remain until the end of the list, and no other
 * process begins to use a file that will be removed.
 */
int made_files_add(struct made_files *files, enum made_how how, int fd, const struct place *place);
/* Undoes all, newest first, unless another file has the name now. Nobody in this process may use
 * the files afterwards. The list stays. Async-signal-safe. */
void made_files_undo(const struct made_files *files);
/* Ends the list: the files stay as they are. */
void made_files_end(struct made_files *files);

#endif
