/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NAME.lock, an empty file that a process holds locked while it has the use of NAME: for files that
 * are replaced, whose own lock would go with the old file. Any thread.
 */
#ifndef BASE_LOCK_FILE_H
#define BASE_LOCK_FILE_H

#include "base/made_file.h"
#include "base/why.h"

/* {0}: none. */
struct lock_file {
	struct made_file made;
	int fd;
};

/* For messages: "process 12 listens on it; stop it or name another socket". Constant strings. */
struct lock_file_words {
	const char *uses, *name; /* "listens on it", "socket" */
};

/*
 * Creates and locks the file beside of. Does not wait. Returns 0, or -1 with the reason in why,
 * which names the process that has it. A file that is not empty is no lock file, and is refused.
 */
int lock_file_take(struct lock_file *file, const struct place *of,
		   const struct lock_file_words *words, struct why *why);
/* Removes the file and unlocks it. Idempotent. */
void lock_file_remove(struct lock_file *file);

#endif
