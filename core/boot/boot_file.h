/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that is loaded into guest memory. */
#ifndef BOOT_BOOT_FILE_H
#define BOOT_BOOT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "config/config.h"

struct boot_file {
	const char *name; /* as in the config */
	const char *what; /* "image", "initrd" */
	int fd;
	uint64_t length; /* bytes at the time of opening */
};

/* Opens a regular file. Reports errors. 0 or a negative status. */
int boot_file_open(struct boot_file *file, const char *name, const char *what,
		   const struct config *config);
/*
 * Reports errno for a file that cannot be opened, with the place in the config. Returns a negative
 * status.
 */
int boot_file_missing(const struct config *config, const char *name, const char *what);
void boot_file_close(struct boot_file *file);
/*
 * Reads [offset, offset + length), which must be inside the file. Reports errors. 0 or a negative
 * status.
 */
int boot_file_read(const struct boot_file *file, uint64_t offset, void *to, uint64_t length);

#endif
