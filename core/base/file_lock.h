/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Locks of the files that one machine at a time may use: flock(2), which the kernel releases when
 * the process and its children have ended, however they end. Any thread.
 */
#ifndef BASE_FILE_LOCK_H
#define BASE_FILE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Locks an open file, or changes its lock. shared: others may lock it shared, too. Does not wait.
 * Returns 0; or -1 with EBUSY if another process prevents that. A file system without locks is not
 * an error.
 */
int file_lock(int fd, bool shared);
/* Writes "process 123", or "another process", to buffer: it holds a lock of the file, which need
 * not be open for the caller. Returns buffer. */
const char *file_lock_owner(int fd, char *buffer, size_t size);

#endif
