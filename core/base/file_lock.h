/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks of the files that one machine at a time may use: flock(2), which the kernel releases when
 * the process and its children have ended, however they end. Any thread.
 */
#ifndef BASE_FILE_LOCK_H
#define BASE_FILE_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Locks an open file, or changes its lock. shared: others may lock it shared, too. Does not wait.
 * Returns 0; or -1 with EBUSY if another process prevents that. A file system without locks is not
 * an error.
 */
int file_lock(int fd, bool shared);
/* Removes the lock, also of children that have inherited the descriptor. Async-signal-safe. */
void file_unlock(int fd);
/* Writes the name of a process for messages to buffer, and returns buffer: "process 123", "another
 * device of this machine", or "another process" if pid is 0. */
#define FILE_LOCK_PROCESS 32 /* bytes that suffice */
const char *file_lock_process(pid_t pid, char *buffer, size_t size);
/* The same for the process that holds a lock of an open file. */
const char *file_lock_owner(int fd, char *buffer, size_t size);

#endif
