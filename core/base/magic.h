/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Recognises files of other programs by their first bytes, so that a kernel or disk in a format
 * that minivmm does not read is refused by name instead of being run or read as raw bytes.
 */
#ifndef BASE_MAGIC_H
#define BASE_MAGIC_H

#include <stddef.h>
#include <stdint.h>

/* All magic numbers are in the first bytes of a file. */
#define MAGIC_HEAD 32774u

/* What a file is used as. A row of the table lists the uses for which its format is wrong. */
enum magic_use {
	MAGIC_KERNEL = 1, /* code that a vCPU runs */
	MAGIC_INITRD = 2, /* a file that a kernel receives and interprets */
	MAGIC_DISK = 4,   /* the bytes of a raw disk */
	MAGIC_OUTPUT = 8, /* a file that an output may overwrite */
};

/* Plain data, static. */
struct magic {
	const char *name;   /* "a qcow2 disk image" */
	const char *remedy; /* an imperative: "convert it with qemu-img convert -O raw" */
	unsigned wrong;     /* enum magic_use */
	uint32_t offset;
	const char *bytes;
	size_t length; /* of bytes */
};

/*
 * Returns the format of a file that begins with these bytes if it is wrong for this use, or NULL. A
 * head shorter than MAGIC_HEAD hides only formats whose magic number is behind it.
 */
const struct magic *magic_find(enum magic_use use, const uint8_t *head, size_t length);

#endif
