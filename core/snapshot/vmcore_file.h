/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The file of a core: a file that gets its name when it is complete, or a descriptor to which the
 * bytes go in ascending order. Functions that return int return 0 or a negative status, reported.
 */
#ifndef SNAPSHOT_VMCORE_FILE_H
#define SNAPSHOT_VMCORE_FILE_H

#include <stdint.h>

#include "base/file.h"

/* The first bytes: little-endian, 64 bits. */
#define VMCORE_BEGINS "\x7f\x45LF\2\1\1"

struct vmcore_file {
	const char *path; /* borrowed */
	struct file_replacement file;
	int fd;
	bool stream;
	uint64_t size, at; /* of the whole; stream: bytes so far */
};

/* fd: -1, or a stream, which stays the caller's. Call vmcore_file_close in any case. */
int vmcore_file_open(struct vmcore_file *file, const char *path, int fd);
/* Sets the size of the whole, once. */
int vmcore_file_size(struct vmcore_file *file, uint64_t size);
/* Writes at an offset; to a stream, in ascending order. What is not written is zero. */
int vmcore_file_write(struct vmcore_file *file, const void *from, size_t length, uint64_t offset);
int vmcore_file_commit(struct vmcore_file *file);
void vmcore_file_close(struct vmcore_file *file);

#endif
